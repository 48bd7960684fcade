/* SPDX-License-Identifier: Apache-2.0 */
#include "sendmail_session.h"

#include "base/clock.h"
#include "base/file.h"
#include "mail/address.h"
#include "mail/dot_stuffing.h"
#include "mail/maildrop.h"
#include "mail/request.h"
#include "posting.h"

#include <errno.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 2048, INPUT_BYTES_MAX = 64 * 1024, ERRORS_MAX = 20 };

enum phase { PHASE_START = 1, PHASE_READY = 2, PHASE_MAIL = 4, PHASE_RCPT = 8 };

struct session {
    const struct tool *tool;
    enum phase phase;
    struct buf input;
    bool has_ended; /* QUIT, the end of input or of output */
    unsigned error_count;
    struct arena transaction;
    struct maildrop_envelope envelope;
};

static void reply(struct session *session, const char *text)
{
    autofree_buf struct buf line = { 0 };
    struct error error;

    buf_printf(&line, "%s\r\n", text);
    if (text[0] >= '4')
        session->error_count++;
    if (!fd_write_all(STDOUT_FILENO, buf_str(&line), "standard output", &error))
        session->has_ended = true;
}

static void transaction_reset(struct session *session)
{
    arena_clear(&session->transaction);
    session->envelope = (struct maildrop_envelope){ 0 };
    if (session->phase != PHASE_START)
        session->phase = PHASE_READY;
}

static void on_helo(struct session *session, struct str argument)
{
    autofree_buf struct buf text = { 0 };

    if (!request_helo_is_valid(argument)) {
        reply(session, "501 Syntax: HELO hostname");
        return;
    }
    session->phase = PHASE_READY;
    transaction_reset(session);
    buf_printf(&text, "250 %.*s", STR_ARGS(session->tool->config->myhostname));
    reply(session, buf_text(&text));
}

static void on_ehlo(struct session *session, struct str argument)
{
    autofree_buf struct buf text = { 0 };
    const struct config *config = session->tool->config;

    if (!request_helo_is_valid(argument)) {
        reply(session, "501 Syntax: EHLO hostname");
        return;
    }
    session->phase = PHASE_READY;
    transaction_reset(session);
    buf_printf(&text,
               "250-%.*s\r\n250-PIPELINING\r\n250-SIZE %lld\r\n"
               "250-ENHANCEDSTATUSCODES\r\n250 8BITMIME",
               STR_ARGS(config->myhostname), (long long)config->message_size_limit);
    reply(session, buf_text(&text));
}

/* False: a parameter that is not understood; it has been answered. */
static bool take_parameters(struct session *session, struct str parameters)
{
    struct esmtp_parameter parameter;
    uint64_t size_bytes;
    int64_t limit_bytes = session->tool->config->message_size_limit;

    while (esmtp_parameter_next(&parameters, &parameter)) {
        if (str_equal_fold(parameter.keyword, STR("BODY")) &&
            str_equal_fold(parameter.value, STR("8BITMIME"))) {
            session->envelope.envelope.flags |= ENVELOPE_8BITMIME;
        } else if (str_equal_fold(parameter.keyword, STR("SIZE")) &&
                   str_to_u64(parameter.value, &size_bytes)) {
            if (limit_bytes == 0 || size_bytes <= (uint64_t)limit_bytes)
                continue;
            reply(session, "552 5.3.4 Message size exceeds fixed limit");
            return false;
        } else if (!str_equal_fold(parameter.keyword, STR("BODY")) ||
                   !str_equal_fold(parameter.value, STR("7BIT"))) {
            reply(session, "555 5.5.4 Unsupported option");
            return false;
        }
    }
    return true;
}

static void on_mail(struct session *session, struct str argument)
{
    struct path path;
    enum path_outcome outcome = path_parse(&session->transaction, argument,
                                           (struct path_rules){ .kind = PATH_SENDER }, &path);

    if (outcome == PATH_NO_KEYWORD)
        reply(session, "501 5.5.4 Syntax: MAIL FROM:<address>");
    else if (outcome != PATH_OK)
        reply(session, "501 5.1.7 Bad sender address syntax");
    else if (take_parameters(session, path.parameters)) {
        session->envelope.envelope.sender = path.address;
        session->envelope.envelope.flags |= ENVELOPE_LOCAL;
        session->envelope.envelope.arrival_us = clock_wall_us();
        session->phase = PHASE_MAIL;
        reply(session, "250 2.1.0 Ok");
    }
    if (session->phase != PHASE_MAIL)
        transaction_reset(session);
}

static void on_rcpt(struct session *session, struct str argument)
{
    struct path path;
    enum path_outcome outcome = path_parse(&session->transaction, argument,
                                           (struct path_rules){ .kind = PATH_RECIPIENT }, &path);
    struct envelope *envelope = &session->envelope.envelope;

    if (outcome == PATH_NO_KEYWORD) {
        reply(session, "501 5.5.4 Syntax: RCPT TO:<address>");
    } else if (outcome != PATH_OK) {
        reply(session, "501 5.1.3 Bad recipient address syntax");
    } else if (!str_is_empty(path.parameters)) {
        reply(session, "555 5.5.4 Unsupported option");
    } else if (envelope->recipient_count >= MAILDROP_RECIPIENTS_MAX) {
        reply(session, "452 4.5.3 Error: too many recipients");
    } else {
        struct recipient recipient = { .address = path.address };
        envelope_add_recipient(&session->transaction, envelope, &recipient);
        session->phase = PHASE_RCPT;
        reply(session, "250 2.1.5 Ok");
    }
}

/* At least one more byte, or false at the end of input. */
static bool read_more(struct session *session)
{
    char *room = buf_reserve(&session->input, 16384);
    ssize_t count;

    do {
        count = read(STDIN_FILENO, room, 16384);
    } while (count < 0 && errno == EINTR);
    if (count > 0)
        buf_commit(&session->input, (size_t)count);
    return count > 0;
}

/* The decoder's lines end in CRLF; the maildrop's in LF, and no other CR comes out of it. */
static bool post_content(struct posting *posting, struct buf *content)
{
    size_t kept = 0;

    for (size_t i = 0; i < content->len; i++)
        if (content->ptr[i] != '\r')
            content->ptr[kept++] = content->ptr[i];
    buf_truncate(content, kept);
    bool is_added = posting_add(posting, buf_str(content));
    buf_clear(content);
    return is_added;
}

/* False where the input ended before the message did. What postdrop has refused is read to its end
 * all the same: the client is not listening before. */
static bool receive_content(struct session *session, struct posting *posting)
{
    struct dot_decoder decoder = { 0 };
    autofree_buf struct buf content = { 0 };
    bool is_taken = true;

    for (;;) {
        size_t used = dot_decode(&decoder, buf_str(&session->input), &content);
        buf_consume(&session->input, used);
        is_taken = is_taken && post_content(posting, &content);
        buf_clear(&content);
        if (decoder.is_done)
            return true;
        if (!read_more(session))
            return false;
    }
}

static void reply_finished(struct session *session, int status, const char *reason)
{
    autofree_buf struct buf text = { 0 };

    if (status == EX_OK)
        buf_append_text(&text, "250 2.0.0 Ok: queued in the maildrop");
    else
        buf_printf(&text, "%s Error: not queued%s%s",
                   status == EX_DATAERR ? "554 5.6.0" : "451 4.3.0", reason[0] != '\0' ? ": " : "",
                   reason);
    reply(session, buf_text(&text));
}

static void on_data(struct session *session, struct str argument)
{
    struct posting posting = { .fd = -1 };
    struct error error = { 0 };

    if (!str_is_empty(argument)) {
        reply(session, "501 5.5.4 Syntax: DATA");
        return;
    }
    if (!posting_open(&posting, session->tool->config, &error)) {
        reply(session, "451 4.3.0 Error: queue file write error");
        return;
    }
    reply(session, "354 End data with <CR><LF>.<CR><LF>");
    if (receive_content(session, &posting)) {
        int status = posting_finish(&posting, &session->envelope, &error);
        reply_finished(session, status, error.message);
    } else {
        posting_abort(&posting);
        session->has_ended = true;
    }
    transaction_reset(session);
}

static void on_rset(struct session *session, struct str argument)
{
    transaction_reset(session);
    reply(session, "250 2.0.0 Ok");
}

static void on_noop(struct session *session, struct str argument)
{
    reply(session, "250 2.0.0 Ok");
}

static void on_vrfy(struct session *session, struct str argument)
{
    reply(session, "252 2.0.0 Cannot verify here; send and see");
}

static void on_quit(struct session *session, struct str argument)
{
    reply(session, "221 2.0.0 Bye");
    session->has_ended = true;
}

/* clang-format off */
static const struct {
    struct str verb;
    int phases;
    void (*handle)(struct session *session, struct str argument);
    const char *out_of_order;
} commands[] = {
    { STR_INIT("HELO"), ~0,                      on_helo, NULL },
    { STR_INIT("EHLO"), ~0,                      on_ehlo, NULL },
    { STR_INIT("MAIL"), PHASE_START | PHASE_READY, on_mail, "503 5.5.1 Error: nested MAIL" },
    { STR_INIT("RCPT"), PHASE_MAIL | PHASE_RCPT, on_rcpt, "503 5.5.1 Error: need MAIL" },
    { STR_INIT("DATA"), PHASE_RCPT,              on_data, "503 5.5.1 Error: need RCPT" },
    { STR_INIT("RSET"), ~0,                      on_rset, NULL },
    { STR_INIT("NOOP"), ~0,                      on_noop, NULL },
    { STR_INIT("VRFY"), ~0,                      on_vrfy, NULL },
    { STR_INIT("QUIT"), ~0,                      on_quit, NULL },
};
/* clang-format on */

static void handle_line(struct session *session, struct str line)
{
    struct request request;

    if (!request_parse(line, &request)) {
        reply(session, "500 5.5.2 Error: bad syntax");
        return;
    }
    if (request.has_control) {
        reply(session, "501 5.5.2 Error: control characters in the command");
        return;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (!str_equal_fold(request.verb, commands[i].verb))
            continue;
        if ((commands[i].phases & (int)session->phase) == 0)
            reply(session, commands[i].out_of_order);
        else
            commands[i].handle(session, request.argument);
        return;
    }
    reply(session, "500 5.5.2 Error: command not recognized");
}

/* The next line, without its line end, copied out of the input. False at the end of input. */
static bool read_line(struct session *session, struct buf *line)
{
    ptrdiff_t at;

    while ((at = str_find_byte(buf_str(&session->input), '\n')) < 0) {
        if (session->input.len > INPUT_BYTES_MAX || !read_more(session))
            return false;
    }
    struct str text = str_take(buf_str(&session->input), (size_t)at);
    if (str_ends_with(text, STR("\r")))
        text.len--;
    buf_clear(line);
    buf_append(line, text);
    buf_consume(&session->input, (size_t)at + 1);
    return true;
}

static void converse(struct session *session)
{
    autofree_buf struct buf line = { 0 };
    autofree_buf struct buf banner = { 0 };

    buf_printf(&banner, "220 %.*s ESMTP %.*s", STR_ARGS(session->tool->config->myhostname),
               STR_ARGS(session->tool->config->mail_name));
    reply(session, buf_text(&banner));
    while (!session->has_ended && read_line(session, &line)) {
        if (line.len > LINE_BYTES_MAX)
            reply(session, "500 5.5.2 Error: line too long");
        else
            handle_line(session, buf_str(&line));
        if (session->error_count < ERRORS_MAX)
            continue;
        reply(session, "421 4.7.0 Error: too many errors");
        session->has_ended = true;
    }
}

int sendmail_session_run(const struct tool *tool)
{
    struct session session = { .tool = tool, .phase = PHASE_START };

    converse(&session);
    arena_clear(&session.transaction);
    buf_free(&session.input);
    return EX_OK;
}
