/* SPDX-License-Identifier: Apache-2.0 */
#include "sendmail_options.h"

/* Letters with an argument, and letters without; as Postfix. -q takes an attached one only. */
static const char with_argument[] = "ABCFLNORVXbefhopr";
static const char without_argument[] = "GIUcimntvx";

enum { ENVELOPE_ID_BYTES_MAX = 100 };

static bool parse_notify(const char *text, uint8_t *notify)
{
    static const struct {
        struct str name;
        uint8_t bit;
    } names[] = {
        { STR_INIT("success"), DSN_NOTIFY_SUCCESS },
        { STR_INIT("failure"), DSN_NOTIFY_FAILURE },
        { STR_INIT("delay"), DSN_NOTIFY_DELAY },
    };
    struct str rest = str_from(text), word;
    uint8_t bits = 0;

    if (str_equal_fold(rest, STR("never"))) {
        *notify = DSN_NOTIFY_NEVER;
        return true;
    }
    while (str_next_word(&rest, ", \t", &word)) {
        size_t i = 0;
        while (i < 3 && !str_equal_fold(word, names[i].name))
            i++;
        if (i == 3)
            return false;
        bits |= names[i].bit;
    }
    *notify = bits;
    return bits != 0;
}

static void set_return(struct sendmail_options *options, const char *text)
{
    options->envelope_flags &= ~(uint32_t)(ENVELOPE_RET_FULL | ENVELOPE_RET_HEADERS);
    if (str_equal_fold(str_from(text), STR("full")))
        options->envelope_flags |= ENVELOPE_RET_FULL;
    else if (str_equal_fold(str_from(text), STR("hdrs")))
        options->envelope_flags |= ENVELOPE_RET_HEADERS;
    else
        options->warning = "bad -R option value -- ignored; it is 'full' or 'hdrs'";
}

static bool set_body(struct sendmail_options *options, const char *text, struct error *error)
{
    if (str_equal_fold(str_from(text), STR("8BITMIME")))
        options->envelope_flags |= ENVELOPE_8BITMIME;
    else if (str_equal_fold(str_from(text), STR("7BIT")))
        options->envelope_flags &= ~(uint32_t)ENVELOPE_8BITMIME;
    else
        return error_set(error, "-B option needs 8BITMIME or 7BIT");
    return true;
}

static bool set_mode(struct sendmail_options *options, const char *text, struct error *error)
{
    static const struct {
        char letter;
        enum sendmail_mode mode;
    } modes[] = {
        { 'd', SENDMAIL_DAEMON },  { 'l', SENDMAIL_DAEMON },  { 'h', SENDMAIL_NOTHING },
        { 'H', SENDMAIL_NOTHING }, { 'i', SENDMAIL_ALIASES }, { 'm', SENDMAIL_DELIVER },
        { 'p', SENDMAIL_LIST },    { 's', SENDMAIL_SMTP },    { 'v', SENDMAIL_VERIFY },
    };

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (text[0] == modes[i].letter) {
            options->mode = modes[i].mode;
            return true;
        }
    }
    return error_set(error, "unsupported: -b%s", text);
}

/* Two delimiters: what -V was before it became the envelope id. */
static bool is_old_verp(const char *text)
{
    return text[0] != '\0' && text[1] != '\0' && text[2] == '\0' &&
           strchr("-=+", text[0]) != NULL && strchr("-=+", text[1]) != NULL;
}

static void set_envelope_id(struct sendmail_options *options, const char *text)
{
    bool is_printable = true;

    for (const char *at = text; *at != '\0'; at++)
        is_printable = is_printable && (ascii_is_print(*at) || (unsigned char)*at >= 0x80);
    if (is_old_verp(text)) {
        options->verp = text;
        options->warning = "option -V with VERP delimiters is deprecated; specify -XV instead";
    } else if (strlen(text) > ENVELOPE_ID_BYTES_MAX) {
        options->warning = "too long -V option value -- ignored";
    } else if (!is_printable) {
        options->warning = "bad syntax in -V option value -- ignored";
    } else {
        options->dsn_envid = text;
    }
}

static bool set_flush(struct sendmail_options *options, const char *text, struct error *error)
{
    if (text[0] == '\0' || ascii_is_digit(text[0])) {
        /* An interval is for a daemon; ours has queue_run_delay. */
        if (text[0] == '\0')
            options->mode = SENDMAIL_FLUSH;
        else if (options->mode == SENDMAIL_DELIVER)
            options->mode = SENDMAIL_NOTHING;
        return true;
    }
    if (text[0] == 'I')
        options->flush_id = text + 1;
    else if (text[0] == 'R')
        options->flush_site = text + 1;
    else
        return error_set(error, "-q%c is not implemented; use -q", text[0]);
    options->mode = SENDMAIL_FLUSH;
    return text[1] != '\0' || error_set(error, "-q%c needs a value", text[0]);
}

static void set_historic(struct sendmail_options *options, const char *text)
{
    if (text[0] == 'i')
        options->ignores_dots = true;
    else if (text[0] == 'A')
        options->alias_database = text + 1;
    else if (text[0] == 't')
        options->takes_header_recipients = true;
}

static bool take_argument(struct sendmail_options *options, char letter, const char *text,
                          struct error *error)
{
    switch (letter) {
    case 'B':
        return set_body(options, text, error);
    case 'C':
        options->config_directory = text;
        return true;
    case 'F':
        options->full_name = text;
        return true;
    case 'N':
        if (!parse_notify(text, &options->dsn_notify))
            options->warning = "bad -N option value -- ignored; it is 'never' or a list of "
                               "'success', 'failure', 'delay'";
        return true;
    case 'R':
        set_return(options, text);
        return true;
    case 'V':
        set_envelope_id(options, text);
        return true;
    case 'X':
        if (text[0] == 'V')
            options->verp = text + 1;
        return true;
    case 'b':
        return set_mode(options, text, error);
    case 'f':
    case 'r':
        options->sender = text;
        return true;
    case 'o':
        set_historic(options, text);
        return true;
    default: /* A L O e h p: accepted, nothing to do */
        return true;
    }
}

static void take_letter(struct sendmail_options *options, char letter)
{
    switch (letter) {
    case 'G':
        options->is_gateway = true;
        break;
    case 'I':
        options->mode = SENDMAIL_ALIASES;
        break;
    case 'i':
        options->ignores_dots = true;
        break;
    case 't':
        options->takes_header_recipients = true;
        break;
    case 'v':
        options->wants_report = true;
        break;
    default: /* U c m n x: accepted, nothing to do */
        break;
    }
}

/* One word of options ("-it", "-fsender"); `next` is the word behind it, or NULL. */
static bool parse_word(struct sendmail_options *options, const char *word, const char *next,
                       bool *used_next, struct error *error)
{
    *used_next = false;
    for (const char *at = word + 1; *at != '\0'; at++) {
        if (*at == 'q')
            return set_flush(options, at + 1, error);
        if (strchr(without_argument, *at) != NULL) {
            take_letter(options, *at);
            continue;
        }
        if (strchr(with_argument, *at) == NULL)
            return error_set(error, "invalid option -- '%c'; see 'sendmail --help'", *at);
        if (*at == 'V' && at[1] == '\0' && (next == NULL || next[0] == '-')) {
            options->verp = "";
            options->warning = "option -V without a value is deprecated; specify -XV instead";
            continue;
        }
        *used_next = at[1] == '\0';
        if (*used_next && next == NULL)
            return error_set(error, "option requires an argument -- '%c'", *at);
        return take_argument(options, *at, *used_next ? next : at + 1, error);
    }
    return true;
}

bool sendmail_options_parse(int argc, char *const *argv, enum sendmail_mode mode,
                            struct sendmail_options *options, struct error *error)
{
    int i = 1;

    *options = (struct sendmail_options){ .mode = mode, .dsn_envid = "" };
    while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
        bool used_next;
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (!parse_word(options, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used_next, error))
            return false;
        i += used_next ? 2 : 1;
    }
    options->first_recipient = i < argc ? i : argc;
    return true;
}
