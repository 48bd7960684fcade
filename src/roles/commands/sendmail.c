/* SPDX-License-Identifier: Apache-2.0 */
/* sendmail: submits a message from standard input, and the historic ways to call other commands. */
#include "base/clock.h"
#include "commands.h"
#include "mail/address.h"
#include "mail/address_list.h"
#include "mail/header.h"
#include "mail/user_access.h"
#include "mail/verp.h"
#include "mail/xtext.h"
#include "posting.h"
#include "sendmail_options.h"
#include "sendmail_session.h"
#include "tool.h"

#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { HEADERS_BYTES_MAX = 16 * 1024 * 1024 };

const char sendmail_help[] =
    "usage: sendmail [options] [recipient ...]\n"
    "\n"
    "Reads a message from standard input and queues it, also while the mail system is down.\n"
    "\n"
    "  -t              take recipients from the To:, Cc: and Bcc: headers too\n"
    "  -f ADDRESS      the envelope sender, where bounces go; -r is the same\n"
    "  -r ADDRESS      the same as -f\n"
    "  -F NAME         the full name for a From: header that is missing\n"
    "  -i              a line with a single dot does not end the message; -oi is the same\n"
    "  -B TYPE         7BIT or 8BITMIME\n"
    "  -N WHEN         notify the sender: never, or a list of failure, delay, success\n"
    "  -R WHAT         what a notification returns: full or hdrs\n"
    "  -V ID           envelope id for notifications\n"
    "  -XV, -XVab      a sender address of its own for each recipient (VERP); a and b are\n"
    "                  the delimiters, += where not given\n"
    "  -v              mail a report of the first delivery attempt to the sender\n"
    "  -G              the message is passed on, not first submitted here\n"
    "  -C DIR          use the configuration in DIR\n"
    "  -bm             deliver mail from standard input (the default)\n"
    "  -bs             speak SMTP on standard input and output\n"
    "  -bp             list the queue: mailq\n"
    "  -bi, -I         rebuild the alias database: newaliases; -oA FILE names another one\n"
    "  -bd, -bl        start the mail system: postfix start\n"
    "  -q              attempt all queued mail now; -qI ID one message, -qR SITE one destination\n"
    "  -bv             deliver nothing, mail a report to the sender: whether it would be\n"
    "  -A X, -bh, -bH, -c, -e X, -h N, -L TAG, -m, -n, -O NAME=VALUE, -o X, -p X, -q5m,\n"
    "  -U, -X FILE, -x  accepted, do nothing\n"
    "  --help          show this text\n"
    "  --version       show the version\n";

/* One message being read. */
struct submission_run {
    const struct tool *tool;
    const struct sendmail_options *options;
    struct posting *posting;
    struct maildrop_envelope *envelope;
    struct arena *arena;
    struct buf headers; /* with -t: what was read so far of them */
    bool is_in_headers;
    enum cr_at_end { CR_UNDECIDED, CR_DROPPED, CR_KEPT } cr_at_end; /* of lines */
    bool may_skip_from; /* an mbox "From " line may stand in front */
};

/* "fatal: joe(1000): text", so that a log of many users' programs says whose it is. */
static int user_fail(const struct tool *tool, int status, const char *text)
{
    const struct passwd *user = getpwuid(getuid());

    return tool_fail(tool, status, "%s(%ld): %s", user != NULL ? user->pw_name : "unknown",
                     (long)getuid(), text);
}

static void add_recipients(struct arena *arena, struct maildrop_envelope *envelope,
                           uint8_t dsn_notify, struct str value)
{
    struct address_list list;
    const struct list_item *item;

    address_list_parse(arena, value, &list);
    for (size_t at = 0; (item = address_list_next(&list, &at)) != NULL;) {
        struct recipient recipient = { .address = item->address, .dsn_notify = dsn_notify };
        if (envelope->envelope.recipient_count <= MAILDROP_RECIPIENTS_MAX)
            envelope_add_recipient(arena, &envelope->envelope, &recipient);
    }
}

/* -t: the Resent- headers count alone where there are any. */
static void add_header_recipients(struct submission_run *run)
{
    struct header header;
    bool has_resent = false;

    for (struct str rest = buf_str(&run->headers); header_next(&rest, &header);)
        has_resent |= header_has_recipients(&header, true);
    for (struct str rest = buf_str(&run->headers); header_next(&rest, &header);)
        if (header_has_recipients(&header, has_resent))
            add_recipients(run->arena, run->envelope, run->options->dsn_notify, header.value);
}

static bool is_mbox_from(struct str line)
{
    while (str_starts_with(line, STR(">")))
        line = str_skip(line, 1);
    return str_starts_with(line, STR("From "));
}

/* A line without its line end. False: postdrop is gone, or the headers are too long. */
static bool take_line(struct submission_run *run, struct str line)
{
    if (run->may_skip_from && is_mbox_from(line))
        return true;
    run->may_skip_from = false;
    if (run->is_in_headers && line.len == 0) {
        run->is_in_headers = false;
    } else if (run->is_in_headers) {
        buf_append(&run->headers, line);
        buf_append_byte(&run->headers, '\n');
        if (run->headers.is_overflowed)
            return false;
    }
    return posting_add(run->posting, line) && posting_add(run->posting, STR("\n"));
}

/* sendmail_fix_line_endings. */
static bool set_line_endings(struct submission_run *run)
{
    struct str value = run->tool->config->sendmail_fix_line_endings;

    if (str_equal(value, STR("always")))
        run->cr_at_end = CR_DROPPED;
    else if (str_equal(value, STR("never")))
        run->cr_at_end = CR_KEPT;
    return run->cr_at_end != CR_UNDECIDED || str_equal(value, STR("strict"));
}

/* The line without its end. A last line may have none. */
static struct str without_end(struct submission_run *run, struct str line)
{
    if (!str_ends_with(line, STR("\n")))
        return line;
    line.len--;
    if (run->cr_at_end == CR_UNDECIDED)
        run->cr_at_end = str_ends_with(line, STR("\r")) ? CR_DROPPED : CR_KEPT;
    while (run->cr_at_end == CR_DROPPED && str_ends_with(line, STR("\r")))
        line.len--;
    return line;
}

/* Up to the end of input, or the line with the single dot. */
static bool read_message(struct submission_run *run)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    bool is_good = true;

    while (is_good && (len = getline(&line, &capacity, stdin)) > 0) {
        struct str text = without_end(run, str_of(line, (size_t)len));
        if (!run->options->ignores_dots && str_equal(text, STR(".")))
            break;
        is_good = take_line(run, text);
    }
    free(line);
    return is_good;
}

/* The user's own name: what From: gets where nothing else is said. */
static struct str full_name(struct arena *arena, const char *chosen, const struct passwd *user)
{
    const char *environment = getenv("NAME");
    autofree_buf struct buf name = { 0 };

    if (chosen == NULL && environment != NULL && environment[0] != '\0')
        chosen = environment;
    if (chosen != NULL || user == NULL)
        return arena_copy(arena, str_from(chosen));
    for (const char *at = user->pw_gecos; *at != '\0' && strchr(",;%", *at) == NULL; at++) {
        if (*at != '&') { /* stands for the login name, capitalised */
            buf_append_byte(&name, *at);
            continue;
        }
        buf_append_text(&name, user->pw_name);
        char *first = name.ptr + name.len - strlen(user->pw_name);
        if (first < name.ptr + name.len && *first >= 'a' && *first <= 'z')
            *first = (char)(*first - 32);
    }
    return arena_copy(arena, buf_str(&name));
}

/* -f: an address as in a header, or nothing for the null sender. */
static bool set_sender(struct arena *arena, const char *text, struct maildrop_envelope *envelope)
{
    struct address_list list;
    size_t next = 0;

    for (const char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return false;
    address_list_parse(arena, str_from(text), &list);
    const struct list_item *item = address_list_next(&list, &next);
    struct str address = item != NULL ? item->address : STR("");
    envelope->envelope.sender = address;
    return str_is_empty(address) || !str_is_empty(str_trim(address));
}

static struct str envelope_id(struct arena *arena, const char *text)
{
    autofree_buf struct buf coded = { 0 };

    xtext_encode(str_from(text), &coded);
    return arena_copy(arena, buf_str(&coded));
}

/* -XV: the configuration says which delimiters there are. */
static int set_verp(const struct tool *tool, const struct sendmail_options *options,
                    struct envelope *envelope)
{
    const struct config *config = tool->config;
    struct str verp = str_from(options->verp);

    if (options->verp == NULL)
        return EX_OK;
    if (str_is_empty(verp))
        verp = config->default_verp_delimiters;
    if (!verp_delimiters_are_valid(verp, config->verp_delimiter_filter))
        return tool_fail(tool, EX_USAGE, "-XV requires two characters from %.*s",
                         STR_ARGS(config->verp_delimiter_filter));
    if (str_is_empty(envelope->sender))
        return user_fail(tool, EX_USAGE, "-XV option requires non-null sender address");
    envelope->verp = verp;
    return EX_OK;
}

static int prepare(const struct tool *tool, const struct sendmail_options *options,
                   struct arena *arena, struct maildrop_envelope *envelope)
{
    const struct passwd *user = getpwuid(getuid());

    *envelope = (struct maildrop_envelope){
        .flags = options->is_gateway ? MAILDROP_GATEWAY : 0,
        .envelope = { .flags = options->envelope_flags | ENVELOPE_LOCAL,
                      .arrival_us = clock_wall_us(),
                      .dsn_envid = envelope_id(arena, options->dsn_envid) },
    };
    if (options->mode == SENDMAIL_VERIFY)
        envelope->envelope.flags |= ENVELOPE_VERIFY;
    else if (options->wants_report)
        envelope->envelope.flags |= ENVELOPE_REPORT;
    envelope->full_name = full_name(arena, options->full_name, user);
    if (options->sender == NULL && user == NULL)
        return user_fail(tool, EX_NOUSER,
                         "nobody has this user id, so the sender must be given with -f");
    if (options->sender == NULL)
        envelope->envelope.sender = arena_copy(arena, str_from(user->pw_name));
    else if (!set_sender(arena, options->sender, envelope))
        return user_fail(tool, EX_USAGE, "-f option specified malformed sender");
    return set_verp(tool, options, &envelope->envelope);
}

static int finish(struct submission_run *run)
{
    struct error error = { 0 };

    if (ferror(stdin)) {
        posting_abort(run->posting);
        return user_fail(run->tool, EX_TEMPFAIL, "cannot read the message from standard input");
    }
    if (run->options->takes_header_recipients)
        add_header_recipients(run);
    if (run->envelope->envelope.recipient_count == 0) {
        posting_abort(run->posting);
        return user_fail(run->tool, EX_USAGE, "No recipient addresses found in message header");
    }
    int status = posting_finish(run->posting, run->envelope, &error);
    if (error.message[0] != '\0')
        return user_fail(run->tool, status, error.message);
    return status;
}

/* -bv delivers nothing; the report shows these headers. */
static bool write_probe(struct submission_run *run)
{
    const struct envelope *envelope = &run->envelope->envelope;
    autofree_buf struct buf headers = { 0 };

    if (!str_is_empty(envelope->sender)) {
        buf_append(&headers, STR("From: "));
        address_format(envelope->sender, &headers);
        buf_append_byte(&headers, '\n');
    }
    buf_append(&headers, STR("Subject: probe\nTo:"));
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        buf_append(&headers, i > 0 ? STR(",\n\t") : STR("\t"));
        address_format(envelope->recipients[i].address, &headers);
    }
    buf_append(&headers, STR("\n\n"));
    return posting_add(run->posting, buf_str(&headers));
}

static int submit(struct submission_run *run)
{
    struct error error;

    if (!posting_open(run->posting, run->tool->config, &error))
        return tool_fail(run->tool, EX_TEMPFAIL, "%s", error.message);
    if (run->options->mode == SENDMAIL_VERIFY) {
        if (!write_probe(run))
            posting_abort(run->posting);
        return finish(run);
    }
    if (!read_message(run) && run->headers.is_overflowed) {
        posting_abort(run->posting);
        return user_fail(run->tool, EX_DATAERR, "the headers are too long for -t");
    }
    return finish(run);
}

static void announce_report(const struct envelope *envelope)
{
    autofree_buf struct buf sender = { 0 };

    address_format_angle(envelope->sender, &sender);
    printf("Mail Delivery Status Report will be mailed to %s.\n", buf_text(&sender));
}

static int deliver(struct tool *tool, const struct sendmail_options *options, int argc, char **argv)
{
    struct arena arena = { 0 };
    struct maildrop_envelope envelope;
    struct posting posting = { .fd = -1 };
    struct submission_run run = {
        .tool = tool,
        .options = options,
        .posting = &posting,
        .envelope = &envelope,
        .arena = &arena,
        .headers = { .limit = HEADERS_BYTES_MAX },
        .is_in_headers = options->takes_header_recipients && options->mode != SENDMAIL_VERIFY,
        .may_skip_from = true,
    };
    int status = prepare(tool, options, &arena, &envelope);

    if (status == EX_OK && !set_line_endings(&run))
        status = tool_fail(tool, EX_TEMPFAIL, "invalid sendmail_fix_line_endings value: %.*s",
                           STR_ARGS(tool->config->sendmail_fix_line_endings));
    for (int i = options->first_recipient; status == EX_OK && i < argc; i++)
        add_recipients(&arena, &envelope, options->dsn_notify, str_from(argv[i]));
    if (status == EX_OK && envelope.envelope.recipient_count == 0 &&
        !options->takes_header_recipients)
        status = user_fail(tool, EX_USAGE,
                           "Recipient addresses must be specified on the command "
                           "line or via the -t option");
    if (status == EX_OK)
        status = submit(&run);
    if (status == EX_OK && (options->wants_report || options->mode == SENDMAIL_VERIFY))
        announce_report(&envelope.envelope);
    posting_abort(&posting);
    buf_free(&run.headers);
    arena_clear(&arena);
    return status;
}

/* Another command's main with a command line of our making. */
static int call(int (*run)(int argc, char **argv), const char *name, const char *folder,
                const char *first, const char *second)
{
    char *arguments[6];
    int count = 0;
    const char *words[] = { name, folder != NULL ? "-c" : NULL, folder, first, second };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i] != NULL)
            arguments[count++] = strdup(words[i]);
    arguments[count] = NULL;
    optind = 1;
    int status = run(count, arguments);
    while (count > 0)
        free(arguments[--count]);
    return status;
}

static int flush_queue(const struct sendmail_options *options)
{
    const char *folder = options->config_directory;

    if (options->flush_id != NULL)
        return call(postqueue_main, "postqueue", folder, "-i", options->flush_id);
    if (options->flush_site != NULL)
        return call(postqueue_main, "postqueue", folder, "-s", options->flush_site);
    return call(postqueue_main, "postqueue", folder, "-f", NULL);
}

static int act(struct tool *tool, const struct sendmail_options *options, int argc, char **argv)
{
    const char *folder = options->config_directory;
    struct error error;

    switch (options->mode) {
    case SENDMAIL_LIST:
        return call(postqueue_main, "postqueue", folder, "-p", NULL);
    case SENDMAIL_FLUSH:
        return flush_queue(options);
    case SENDMAIL_ALIASES:
        return options->alias_database != NULL
                   ? call(postalias_main, "postalias", folder, options->alias_database, NULL)
                   : call(newaliases_main, "newaliases", folder, NULL, NULL);
    case SENDMAIL_DAEMON:
        return call(postfix_main, "postfix", folder, "start", NULL);
    case SENDMAIL_NOTHING:
        return EX_OK;
    case SENDMAIL_DELIVER:
    case SENDMAIL_VERIFY:
    case SENDMAIL_SMTP:
        break;
    }
    if (!tool_configure(tool, folder))
        return EX_CONFIG;
    if (user_access_check_caller(tool->config, USER_RIGHT_SUBMIT, &error) != USER_ALLOWED)
        return tool_fail(tool, EX_TEMPFAIL, "%s", error.message);
    return options->mode == SENDMAIL_SMTP ? sendmail_session_run(tool)
                                          : deliver(tool, options, argc, argv);
}

static void on_signal(int number)
{
    (void)number;
    _exit(EX_TEMPFAIL); /* postdrop sees the end of its input and removes the draft */
}

static void signals_prepare(void)
{
    static const int ending[] = { SIGHUP, SIGINT, SIGTERM };
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* inherited as ignored, it would hide postdrop's exit status */
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (signal(ending[i], on_signal) == SIG_IGN)
            signal(ending[i], SIG_IGN); /* nohup */
}

static int run_as(const char *name, enum sendmail_mode mode, int argc, char **argv)
{
    struct sendmail_options options;
    struct error error;
    struct tool tool;

    tool_start(&tool, name);
    signals_prepare();
    if (!sendmail_options_parse(argc, argv, mode, &options, &error))
        return tool_fail(&tool, EX_USAGE, "%s", error.message);
    if (options.warning != NULL)
        tool_warn(&tool, "%s", options.warning);
    int status = act(&tool, &options, argc, argv);
    tool_end(&tool);
    return status;
}

int sendmail_main(int argc, char **argv)
{
    return run_as("sendmail", SENDMAIL_DELIVER, argc, argv);
}

int mailq_main(int argc, char **argv)
{
    return run_as("mailq", SENDMAIL_LIST, argc, argv);
}
