/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/content_checks_inside.h"

#include "base/memory.h"
#include "mail/check_action.h"
#include "mail/header.h"
#include "mail/log_line.h"

enum { DELIVERY_LOG_BYTES = 200 }; /* as Postfix cuts it */

struct content_scan {
    const struct content_checks *checks;
    struct content_scan_subject subject;
    struct mime_walker *walker;
    struct buf *out;      /* of the call at hand */
    struct arena scratch; /* of the look-up at hand */
    struct buf key, line, clean;
    struct character_filter filter;
    bool is_over; /* nothing more is looked at: PASS, DISCARD, REDIRECT, a refusal */
    struct content_refusal refusal;
    char status[12];
};

/* What to do with the header or line. */
enum outcome { LEAVE_IT, LEAVE_OUT, PUT_TEXT };

/* ---- logs ---- */

static void log_action(struct content_scan *scan, enum check_kind kind, struct str key,
                       const struct check_action *action)
{
    const struct envelope *envelope = scan->subject.envelope;
    const char *what = kind == CHECK_BODY ? "body" : "header";
    struct log_check line = {
        .queue_id = scan->subject.queue_id,
        .action = check_verb_log_name(action->verb),
        .what = what,
        .content = key,
        .client = { .name = envelope->client_name, .address = envelope->client_address },
        .sender = envelope->sender,
        .recipient = scan->subject.recipient,
        .protocol = envelope->protocol,
        .helo_name = envelope->helo_name,
        .status = str_from(action->status),
        .text = action->text,
    };

    buf_clear(&scan->line);
    if (scan->checks->is_for_delivery)
        buf_printf(&scan->line, "%.*s: %s: %s %.*s%s%.*s", STR_ARGS(line.queue_id), line.action,
                   what, STR_ARGS(str_take(key, DELIVERY_LOG_BYTES)),
                   action->text.len > 0 ? ": " : "", STR_ARGS(action->text));
    else
        log_line_check(&line, &scan->line);
    log_write_text(&scan->checks->log, SEVERITY_INFO, buf_str(&scan->line));
}

static void warn_of_action(const struct content_scan *scan, enum check_kind kind,
                           enum check_problem problem, const struct check_action *action,
                           struct str value)
{
    struct str map = table_list_name(scan->checks->tables[kind]);
    const struct log_context *log = &scan->checks->log;

    switch (problem) {
    case CHECK_FINE:
        return;
    case CHECK_IS_UNSUPPORTED:
        log_warning(log, "unsupported command in %.*s map: %.*s", STR_ARGS(map), STR_ARGS(value));
        return;
    case CHECK_IS_UNKNOWN:
        log_warning(log, "unknown command in %.*s map: %.*s", STR_ARGS(map), STR_ARGS(value));
        return;
    case CHECK_NEEDS_TEXT:
        log_warning(log, "%s action without text in %.*s map", check_verb_name(action->verb),
                    STR_ARGS(map));
        return;
    case CHECK_NEEDS_TRANSPORT:
        log_warning(log, "bad FILTER command %.*s in %.*s -- need transport:destination",
                    STR_ARGS(action->text), STR_ARGS(map));
        return;
    case CHECK_NEEDS_ADDRESS:
        log_warning(log, "bad %s %s \"%.*s\" in %.*s map -- need user@domain",
                    check_verb_name(action->verb), action->verb == CHECK_BCC ? "address" : "target",
                    STR_ARGS(action->text), STR_ARGS(map));
        return;
    }
}

/* ---- actions ---- */

static enum outcome refuse(struct content_scan *scan, unsigned code, const char *status,
                           struct str text)
{
    memcpy(scan->status, status, strlen(status) + 1);
    scan->refusal = (struct content_refusal){
        .code = code,
        .enhanced = scan->status,
        .text = arena_copy(scan->subject.arena, text),
    };
    scan->is_over = true;
    return LEAVE_OUT;
}

/* What is to stand as a header must be one. */
static void warn_of_text(const struct content_scan *scan, enum check_kind kind, const char *verb,
                         struct str text)
{
    struct str map = table_list_name(scan->checks->tables[kind]);

    if (scan->checks->is_for_delivery)
        log_warning(&scan->checks->log,
                    "bad %s header text \"%.*s\" in %.*s map -- need \"headername: headervalue\"",
                    verb, STR_ARGS(text), STR_ARGS(map));
    else
        log_warning(&scan->checks->log, "%s action with text that is no header in %.*s map", verb,
                    STR_ARGS(map));
}

/* A header in front of another, or a line in front of a line of a body. */
static void prepend(struct content_scan *scan, enum check_kind kind, struct str text)
{
    struct str rest = text;
    struct header header;

    if (kind != CHECK_BODY && !header_next(&rest, &header)) {
        warn_of_text(scan, kind, "PREPEND", text);
        return;
    }
    buf_append(scan->out, text);
    buf_append(scan->out, STR("\r\n"));
}

/* What concerns the message as a whole. */
static void act_on_message(struct content_scan *scan, const struct check_action *action)
{
    struct message_actions *actions = scan->subject.actions;
    struct arena *arena = scan->subject.arena;

    if (action->verb == CHECK_BCC)
        message_actions_add_bcc(actions, arena, action->text);
    if (action->verb == CHECK_FILTER)
        actions->filter = arena_copy(arena, action->text);
    if (action->verb == CHECK_HOLD)
        actions->is_held = true;
    if (action->verb == CHECK_REDIRECT)
        actions->redirect = arena_copy(arena, action->text);
    if (action->verb == CHECK_DISCARD)
        actions->is_discarded = true;
    if (action->verb == CHECK_DISCARD || action->verb == CHECK_PASS ||
        action->verb == CHECK_REDIRECT)
        scan->is_over = true;
}

static enum outcome act(struct content_scan *scan, enum check_kind kind, struct str key,
                        const struct check_action *action)
{
    bool is_held_already = action->verb == CHECK_HOLD && scan->subject.actions->is_held;

    if (action->verb != CHECK_DUNNO && action->verb != CHECK_IGNORE && !is_held_already)
        log_action(scan, kind, key, action);
    switch (action->verb) {
    case CHECK_IGNORE:
    case CHECK_STRIP:
        return LEAVE_OUT;
    case CHECK_REPLACE:
        return PUT_TEXT;
    case CHECK_REJECT:
        return refuse(scan, action->status[0] == '4' ? 451 : 550, action->status, action->text);
    case CHECK_PREPEND:
        prepend(scan, kind, action->text);
        return LEAVE_IT;
    case CHECK_BCC:
    case CHECK_DISCARD:
    case CHECK_FILTER:
    case CHECK_HOLD:
    case CHECK_PASS:
    case CHECK_REDIRECT:
        act_on_message(scan, action);
        return LEAVE_IT;
    case CHECK_DUNNO:
    case CHECK_INFO:
    case CHECK_WARN:
    case CHECK_UNKNOWN:
        break;
    }
    return LEAVE_IT;
}

static enum outcome fail(struct content_scan *scan, enum check_kind kind, const struct error *error)
{
    struct str map = table_list_name(scan->checks->tables[kind]);

    log_warning(&scan->checks->log, "%s", error->message);
    log_warning(&scan->checks->log,
                "%.*s: %.*s map lookup problem -- message not %s, try again later",
                STR_ARGS(scan->subject.queue_id), STR_ARGS(map),
                scan->checks->is_for_delivery ? "sent" : "accepted");
    return refuse(scan, 451, "4.3.0", STR("Error: queue file write error"));
}

/* Mail that leaves can be changed, but not sent elsewhere or stopped any more. */
static bool is_for_delivery(enum check_verb verb)
{
    return verb == CHECK_DUNNO || verb == CHECK_IGNORE || verb == CHECK_INFO ||
           verb == CHECK_PREPEND || verb == CHECK_REPLACE || verb == CHECK_STRIP ||
           verb == CHECK_WARN;
}

static bool is_text_fine(const struct content_scan *scan, enum check_kind kind,
                         const struct check_action *action)
{
    struct str rest = action->text;
    struct header header;

    if (kind == CHECK_BODY || (action->verb != CHECK_REPLACE && action->verb != CHECK_PREPEND) ||
        header_next(&rest, &header))
        return true;
    warn_of_text(scan, kind, check_verb_name(action->verb), action->text);
    return false;
}

/* `text` with LF between folded lines, as tables have it. The outcome's text in the scratch
 * arena. */
static enum outcome check(struct content_scan *scan, enum check_kind kind, struct str key,
                          struct str *text)
{
    struct check_action action;
    struct error error = { 0 };
    struct str value;

    if (scan->is_over || key.len == 0 || table_list_is_empty(scan->checks->tables[kind]))
        return LEAVE_IT;
    arena_clear(&scan->scratch);
    switch (table_list_find(scan->checks->tables[kind], key, KEY_WHOLE, &scan->scratch, &value,
                            &error)) {
    case LOOKUP_ABSENT:
        return LEAVE_IT;
    case LOOKUP_FAILED:
        return fail(scan, kind, &error);
    case LOOKUP_FOUND:
        break;
    }
    enum check_problem problem = check_action_parse(value, &action);
    if (scan->checks->is_for_delivery && !is_for_delivery(action.verb))
        problem = CHECK_IS_UNSUPPORTED;
    if (problem != CHECK_FINE) {
        warn_of_action(scan, kind, problem, &action, value);
        return LEAVE_IT;
    }
    if (scan->checks->is_for_delivery && !is_text_fine(scan, kind, &action))
        return LEAVE_IT;
    enum outcome outcome = act(scan, kind, key, &action);
    if (outcome == PUT_TEXT)
        *text = action.text;
    return outcome;
}

/* ---- what no table says ---- */

/* The content itself is wrong: `what` and `shown` are for the log. */
static void refuse_content(struct content_scan *scan, const char *what, struct str shown,
                           const char *status, const char *text)
{
    const struct envelope *envelope = scan->subject.envelope;
    bool is_mime = strcmp(what, "content") != 0;
    struct log_check line = {
        .queue_id = scan->subject.queue_id,
        .action = "reject",
        .what = what,
        .content = shown,
        .client = { .name = envelope->client_name, .address = envelope->client_address },
        .sender = envelope->sender,
        .recipient = scan->subject.recipient,
    };

    if (scan->is_over || scan->checks->is_for_delivery) /* was accepted so */
        return;
    if (!is_mime) {
        line.protocol = envelope->protocol;
        line.helo_name = envelope->helo_name;
        line.status = str_from(status);
        line.text = str_from(text);
    }
    buf_clear(&scan->line);
    log_line_check(&line, &scan->line);
    log_write_text(&scan->checks->log, SEVERITY_INFO, buf_str(&scan->line));
    (void)refuse(scan, 550, status, str_from(text));
}

static void refuse_mime(struct content_scan *scan, const char *text, struct str shown)
{
    autoclear_arena struct arena scratch = { 0 };

    refuse_content(scan, arena_printf(&scratch, "mime-error %s:", text), shown, "5.6.0", text);
}

static bool is_8bit(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] >= 0x80)
            return true;
    }
    return false;
}

/* What lies deeper would reach a reader unchecked. */
static void on_too_deep(void *argument, struct str header)
{
    refuse_mime(argument, "MIME nesting exceeds safety limit", header);
}

static void on_wrong_encoding(void *argument, const char *encoding)
{
    struct content_scan *scan = argument;

    if (scan->checks->refuses_coded_parts)
        refuse_mime(scan, "invalid message/* or multipart/* encoding domain", str_from(encoding));
}

/* message_reject_characters, message_strip_characters: `bytes` without what is stripped. False: it
 * is refused. */
static bool filter_characters(struct content_scan *scan, struct str *bytes)
{
    const struct character_rules *rules = &scan->checks->characters;

    if (scan->is_over || character_rules_are_empty(rules))
        return true;
    buf_clear(&scan->clean);
    if (!character_filter_add(&scan->filter, rules, *bytes, &scan->clean)) {
        /* As in Postfix, a NUL ends what is shown. */
        struct str line = str_from(buf_text(&scan->filter.line));
        refuse_content(scan, "content", line, "5.7.1", "disallowed character");
        return false;
    }
    *bytes = buf_str(&scan->clean);
    return true;
}

/* ---- headers ---- */

/* Without the blanks that may stand between name and colon. */
static void unfold(struct str header, struct buf *key)
{
    size_t start = 0;

    buf_clear(key);
    while (start < header.len && header.ptr[start] > ' ' && header.ptr[start] != ':')
        buf_append_byte(key, header.ptr[start++]);
    while (start < header.len && (header.ptr[start] == ' ' || header.ptr[start] == '\t'))
        start++;
    for (size_t i = start; i < header.len; i++) {
        bool ends_line = header.ptr[i] == '\r' && i + 1 < header.len && header.ptr[i + 1] == '\n';
        if (!ends_line)
            buf_append_byte(key, header.ptr[i]);
    }
}

/* Text of a table as it may stand in a message: what was matched has bare line ends. */
static struct str fold(struct arena *arena, struct str text)
{
    autofree_buf struct buf folded = { 0 };

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n' && (i == 0 || text.ptr[i - 1] != '\r'))
            buf_append_byte(&folded, '\r');
        buf_append_byte(&folded, text.ptr[i]);
    }
    return arena_copy(arena, buf_str(&folded));
}

static bool is_mime_header(struct str header)
{
    static const char *const names[] = { "Content-Description", "Content-Disposition",
                                         "Content-ID",          "Content-Transfer-Encoding",
                                         "Content-Type",        "MIME-Version" };
    struct header parsed;

    if (!header_next(&header, &parsed))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (header_is(&parsed, names[i]))
            return true;
    return false;
}

static enum check_kind kind_of(enum mime_headers where, struct str header)
{
    if (where == MIME_PART_HEADERS || is_mime_header(header))
        return CHECK_MIME_HEADERS;
    return where == MIME_NESTED_HEADERS ? CHECK_NESTED_HEADERS : CHECK_HEADERS;
}

/* False: left out. */
static bool check_header(struct content_scan *scan, enum mime_headers where, struct str *header)
{
    struct str text;
    struct header parsed;
    enum check_kind kind = kind_of(where, *header);

    if (scan->checks->refuses_8bit_headers && is_8bit(*header))
        refuse_mime(scan, "improper use of 8-bit data in message header", *header);
    unfold(*header, &scan->key);
    switch (check(scan, kind, buf_str(&scan->key), &text)) {
    case LEAVE_IT:
        return true;
    case LEAVE_OUT:
        return false;
    case PUT_TEXT:
        break;
    }
    struct str folded = fold(scan->subject.arena, text);
    struct str rest = folded;
    if (header_next(&rest, &parsed))
        *header = folded;
    else
        warn_of_text(scan, kind, "REPLACE", text);
    return true;
}

bool content_scan_header(struct content_scan *scan, struct str *header, struct buf *out)
{
    struct header parsed;

    scan->out = out;
    struct str clean = *header;
    if (!filter_characters(scan, &clean))
        return false;
    character_filter_clear(&scan->filter);
    if (clean.len < header->len)
        *header = arena_copy(scan->subject.arena, clean);
    if (!check_header(scan, MIME_MESSAGE_HEADERS, header))
        return false;
    struct str rest = *header;
    if (header_next(&rest, &parsed))
        mime_walker_header(scan->walker, parsed.name, parsed.value);
    return true;
}

/* ---- parts ---- */

static void on_header(void *argument, enum mime_headers where, struct str header)
{
    struct content_scan *scan = argument;

    if (!check_header(scan, where, &header))
        return;
    buf_append(scan->out, header);
    buf_append(scan->out, STR("\r\n"));
}

static void on_text(void *argument, struct str piece, bool ends_line, uint64_t offset)
{
    struct content_scan *scan = argument;
    struct str text = piece;

    if (scan->checks->refuses_8bit_bodies && mime_walker_is_7bit(scan->walker) && is_8bit(piece))
        refuse_mime(scan, "improper use of 8-bit data in message body", piece);
    if (offset < scan->checks->body_bytes && check(scan, CHECK_BODY, piece, &text) == LEAVE_OUT)
        return;
    buf_append(scan->out, text);
    if (ends_line)
        buf_append(scan->out, STR("\r\n"));
}

void content_scan_body(struct content_scan *scan, struct str bytes, struct buf *out)
{
    scan->out = out;
    if (scan->is_over && scan->refusal.code != 0)
        return;
    if (filter_characters(scan, &bytes))
        mime_walker_add(scan->walker, bytes);
}

void content_scan_end(struct content_scan *scan, struct buf *out)
{
    scan->out = out;
    mime_walker_end(scan->walker);
}

const struct content_refusal *content_scan_refusal(const struct content_scan *scan)
{
    return scan->refusal.code != 0 ? &scan->refusal : NULL;
}

/* ---- life ---- */

struct content_scan *content_scan_new(const struct content_checks *checks,
                                      const struct content_scan_subject *subject)
{
    struct content_scan *scan = memory_new(sizeof *scan);
    struct mime_events events = {
        .header = on_header,
        .text = on_text,
        .wrong_encoding = on_wrong_encoding,
        .too_deep = on_too_deep,
        .argument = scan,
    };

    scan->checks = checks;
    scan->subject = *subject;
    scan->walker = mime_walker_new(&checks->limits, &events, checks->looks_into_parts);
    return scan;
}

void content_scan_free(struct content_scan **scan)
{
    struct content_scan *gone = *scan;

    if (gone == NULL)
        return;
    mime_walker_free(&gone->walker);
    arena_clear(&gone->scratch);
    buf_free(&gone->key);
    buf_free(&gone->line);
    buf_free(&gone->clean);
    character_filter_clear(&gone->filter);
    memory_free(gone);
    *scan = NULL;
}
