/* SPDX-License-Identifier: Apache-2.0 */
#include "conversation.h"

#include "base/clock.h"
#include "base/memory.h"
#include "client.h"
#include "commands.h"
#include "ehlo.h"
#include "encryption.h"
#include "history.h"
#include "limits.h"
#include "line.h"
#include "reject_footer.h"
#include "trace.h"
#include "xclient.h"

#include <sys/socket.h>

/* ---- logs ---- */

struct buf *conversation_log_start(struct conversation *conversation)
{
    buf_clear(&conversation->line);
    return &conversation->line;
}

void conversation_log_end(struct conversation *conversation, enum severity severity)
{
    log_write_text(&conversation->policy->log, severity, buf_str(&conversation->line));
    buf_clear(&conversation->line);
}

struct str conversation_queue_id(const struct conversation *conversation)
{
    const struct transaction *transaction = &conversation->session.transaction;

    return transaction->has_queue_id ? str_from(transaction->queue_id_text.text) : STR("");
}

void conversation_log_action(struct conversation *conversation, const char *action,
                             const char *where, struct str text, const struct str *recipient)
{
    const struct session *session = &conversation->session;
    struct log_reject reject = {
        .queue_id = conversation_queue_id(conversation),
        .action = str_from(action),
        .where = str_from(where),
        .client = session_log_client(session),
        .reply = text,
        .has_sender = session_in_transaction(session),
        .sender = session->transaction.sender_as_sent,
        .has_recipient = recipient != NULL,
        .protocol = session_protocol(session),
        .helo_name = session->helo_name,
    };

    if (recipient != NULL)
        reject.recipient = *recipient;
    log_line_reject(&reject, conversation_log_start(conversation));
    conversation_log_end(conversation, SEVERITY_INFO);
}

void conversation_log_reject(struct conversation *conversation, const char *where, struct str reply,
                             const struct str *recipient)
{
    conversation_log_action(conversation, "reject", where, reply, recipient);
}

/* ---- replies ---- */

int64_t conversation_deadline_ms(const struct conversation *conversation)
{
    return loop_now_ms(conversation->server->loop) +
           conversation->policy->config->smtpd_timeout * 1000;
}

/* Postfix's brake for clients that make errors: every reply comes late. Only this fiber sleeps. */
static enum stream_outcome slow_down(struct conversation *conversation)
{
    const struct config *config = conversation->policy->config;
    struct loop *loop = conversation->server->loop;

    if (conversation->session.error_count < (unsigned)config->smtpd_soft_error_limit ||
        config->smtpd_error_sleep_time <= 0)
        return STREAM_OK;
    enum stream_outcome outcome =
        stream_flush(conversation->stream, conversation_deadline_ms(conversation));
    if (outcome == STREAM_OK &&
        fiber_sleep(loop, config->smtpd_error_sleep_time * 1000) == WAKE_CANCELLED)
        outcome = STREAM_CANCELLED;
    return outcome;
}

static void log_lost(struct conversation *conversation, const char *what, struct str where)
{
    log_line_aborted(what, where, session_log_client(&conversation->session),
                     conversation_log_start(conversation));
    conversation_log_end(conversation, SEVERITY_INFO);
}

enum next conversation_lost(struct conversation *conversation, enum stream_outcome outcome,
                            struct str where)
{
    conversation->session.abort_reason =
        outcome != STREAM_TIMEOUT ? STR("lost connection") : STR("timeout");
    if (outcome != STREAM_TIMEOUT) {
        /* Many a client leaves without QUIT when its mail is delivered. */
        if (!str_equal(where, STR("END-OF-MESSAGE")))
            log_lost(conversation, "lost connection", where);
        return NEXT_CLOSE;
    }
    log_lost(conversation, "timeout", where);
    struct buf *text = conversation_log_start(conversation);
    reply_format_fixed(REPLY_TIMEOUT, conversation->policy->myhostname, text);
    buf_append_text(text, "\r\n");
    (void)stream_write(conversation->stream, buf_str(text), conversation_deadline_ms(conversation));
    return NEXT_CLOSE;
}

enum next reply_lines(struct conversation *conversation, unsigned code, struct str lines)
{
    conversation->reply_code = code;
    trace_reply(conversation, lines);
    enum stream_outcome outcome = slow_down(conversation);
    if (outcome == STREAM_OK)
        outcome = stream_write(conversation->stream, lines, conversation_deadline_ms(conversation));
    if (outcome == STREAM_OK)
        return NEXT_COMMAND;
    /* It does not read: a "421" would not reach it either. */
    log_lost(conversation, stream_outcome_text(outcome), conversation->session.where);
    return NEXT_CLOSE;
}

/* smtpd_reject_footer, behind what refuses; a table may have another for this very reply. */
static struct str with_footer(struct conversation *conversation, unsigned code, struct str text)
{
    const struct policy *policy = conversation->policy;
    struct str footer = STR("");

    if (code >= 400 && table_list_find_or_warn(policy->footer_maps, text, &conversation->scratch,
                                               &footer, &policy->log) != LOOKUP_FOUND)
        footer = policy->config->smtpd_reject_footer;
    if (str_is_empty(footer))
        return str_from(arena_printf(&conversation->scratch, "%.*s\r\n", STR_ARGS(text)));
    return reject_footer_append(conversation, text, footer);
}

/* soft_bounce: whatever refuses for good refuses for now. */
static struct str soften(struct arena *scratch, struct str text)
{
    char *soft = arena_new(scratch, text.len + 1);

    memcpy(soft, text.ptr, text.len);
    soft[0] = '4';
    if (text.len > 5 && soft[4] == '5' && soft[5] == '.')
        soft[4] = '4';
    return str_of(soft, text.len);
}

enum next reply_text(struct conversation *conversation, unsigned code, struct str text)
{
    if (code >= 500 && conversation->policy->config->soft_bounce) {
        text = soften(&conversation->scratch, text);
        code -= 100;
    }
    enum next next = reply_lines(conversation, code, with_footer(conversation, code, text));

    /* access(5): these two end the connection. */
    return code == 421 || code == 521 ? NEXT_CLOSE : next;
}

enum next reply(struct conversation *conversation, enum reply_name name)
{
    struct buf *text = conversation_log_start(conversation);

    if (reply_code(name) >= 400)
        history_blame(conversation, reply_class(name));
    reply_format_fixed(name, conversation->policy->myhostname, text);
    return reply_text(conversation, reply_code(name), buf_str(text));
}

enum next reply_verdict(struct conversation *conversation, const struct verdict *verdict)
{
    struct buf *text = conversation_log_start(conversation);

    verdict_format(verdict, text);
    history_blame(conversation, ERROR_CLASS_POLICY);
    return reply_text(conversation, verdict->code, buf_str(text));
}

enum next reply_bare_newline(struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;
    struct verdict verdict = {
        .code = (unsigned)policy->config->smtpd_forbid_bare_newline_reject_code,
        .enhanced = "5.5.2",
        .text = arena_printf(&conversation->scratch, "%.*s Error: bare <LF> received",
                             STR_ARGS(policy->myhostname)),
    };

    if (verdict.code < 500)
        verdict.enhanced = "4.5.2";
    return reply_verdict(conversation, &verdict);
}

enum next reply_and_close(struct conversation *conversation, enum reply_name name)
{
    (void)reply(conversation, name);
    return NEXT_CLOSE;
}

/* ---- steps ---- */

/* Whether the client speaks before it has heard the greeting. */
static bool talks_early(const struct conversation *conversation)
{
    char byte;

    return !str_is_empty(stream_pending(conversation->stream)) ||
           recv(stream_fd(conversation->stream), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static enum next refuse_early_talk(struct conversation *conversation)
{
    struct str text = STR("");

    if (str_is_empty(stream_pending(conversation->stream)))
        (void)stream_read_some(conversation->stream, conversation_deadline_ms(conversation), &text);
    else
        text = stream_pending(conversation->stream);
    log_line_pipelining(conversation->session.where, session_log_client(&conversation->session),
                        str_take(text, 100), conversation_log_start(conversation));
    conversation_log_end(conversation, SEVERITY_INFO);
    conversation->session.has_pipelined = true;
    if (!conversation->policy->config->smtpd_forbid_unauth_pipelining)
        return NEXT_COMMAND;
    return reply_and_close(conversation, REPLY_NOT_SYNCHRONOUS);
}

enum next conversation_welcome(struct conversation *conversation)
{
    struct verdict verdict = restrictions_check_client(conversation);

    conversation->session.is_denied = !verdict.is_accepted;
    if (verdict.is_accepted)
        return reply_lines(conversation, 220, conversation->policy->banner);
    conversation->session.error_count++;
    return reply_verdict(conversation, &verdict);
}

static enum next conversation_greet(struct conversation *conversation)
{
    conversation->is_greeted = true;
    client_identify(conversation);
    xclient_authorise(conversation);
    ehlo_find_discarded(conversation);
    trace_begin(conversation);
    history_begin(conversation);
    log_line_connect(session_log_client(&conversation->session),
                     conversation_log_start(conversation));
    conversation_log_end(conversation, SEVERITY_INFO);
    if (conversation->server->is_closing)
        return reply_and_close(conversation, REPLY_SHUTTING_DOWN);
    if (encryption_wrap(conversation) == NEXT_CLOSE)
        return NEXT_CLOSE;
    if (talks_early(conversation) && refuse_early_talk(conversation) == NEXT_CLOSE)
        return NEXT_CLOSE;
    if (!limits_allow_connection(conversation))
        return NEXT_CLOSE;
    return conversation_welcome(conversation);
}

static enum next end_for_errors(struct conversation *conversation)
{
    log_line_aborted("too many errors", conversation->session.where,
                     session_log_client(&conversation->session),
                     conversation_log_start(conversation));
    conversation_log_end(conversation, SEVERITY_INFO);
    return reply_and_close(conversation, REPLY_TOO_MANY_ERRORS);
}

static enum next end_for_bare_newline(struct conversation *conversation)
{
    conversation_log_reject(conversation,
                            arena_text(&conversation->scratch, conversation->session.where),
                            STR("bare <LF> received"), NULL);
    (void)reply_bare_newline(conversation);
    return NEXT_CLOSE;
}

static enum next conversation_step(struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;
    struct session *session = &conversation->session;
    int64_t deadline_ms = conversation_deadline_ms(conversation);
    struct str line;
    bool had_cr;

    arena_clear(&conversation->scratch);
    if (session->error_count >= (unsigned)policy->config->smtpd_hard_error_limit)
        return end_for_errors(conversation);
    if (conversation->server->is_closing && !session_in_transaction(session))
        return reply_and_close(conversation, REPLY_SHUTTING_DOWN);
    if (str_is_empty(stream_pending(conversation->stream))) {
        enum stream_outcome flushed = stream_flush(conversation->stream, deadline_ms);
        return flushed == STREAM_OK
                   ? NEXT_PARK
                   : conversation_lost(conversation, STREAM_CLOSED, session->where);
    }
    enum stream_outcome outcome =
        stream_read_line(conversation->stream, (size_t)policy->config->line_length_limit,
                         deadline_ms, &line, &had_cr);
    if (outcome == STREAM_TOO_LONG)
        return reply_and_close(conversation, REPLY_LINE_TOO_LONG);
    if (outcome != STREAM_OK)
        return conversation_lost(conversation, outcome, session->where);
    if (!had_cr && policy->bare_newline == BARE_NEWLINE_IS_REJECTED &&
        !client_may_send_bare_newlines(conversation))
        return end_for_bare_newline(conversation);
    trace_command(conversation, line);
    return command_handle(conversation, line);
}

/* ---- life ---- */

static void conversation_end(struct conversation *conversation)
{
    struct server *server = conversation->server;

    limits_end_connection(conversation);
    history_flush(conversation, 0);
    session_enter(&conversation->session, PHASE_CLOSED);
    session_reset_transaction(&conversation->session);
    log_line_disconnect(session_log_client(&conversation->session), &conversation->session.counts,
                        conversation_log_start(conversation));
    conversation_log_end(conversation, SEVERITY_INFO);
    session_clear(&conversation->session);
    stream_free(&conversation->stream);
    arena_clear(&conversation->scratch);
    buf_free(&conversation->line);
    list_remove(&conversation->link);
    line_leave(conversation->own_line, conversation->place); /* after its socket was closed */
    memory_free(conversation);
    if (--server->conversation_count == 0 && server->emptied != NULL)
        server->emptied(server);
}

/* Parking and running lead to each other. */
static void conversation_run(void *argument);

static void parked_ready(void *argument, bool is_timeout)
{
    struct conversation *conversation = argument;

    conversation->is_parked = false;
    conversation->has_timed_out = is_timeout;
    fiber_start(conversation->server->loop, "smtpd conversation", conversation_run, conversation);
}

static void conversation_park(struct conversation *conversation)
{
    arena_clear(&conversation->scratch);
    buf_free(&conversation->line);
    stream_shrink(conversation->stream);
    conversation->is_parked = true;
    stream_park(conversation->stream, conversation_deadline_ms(conversation), parked_ready,
                conversation);
}

/* The end or a failure of the stream, noticed while parked, is there without a byte to read. */
static bool is_at_end(struct conversation *conversation, enum stream_outcome *outcome)
{
    struct str bytes;

    if (!str_is_empty(stream_pending(conversation->stream)))
        return false;
    *outcome =
        stream_read_some(conversation->stream, conversation_deadline_ms(conversation), &bytes);
    return *outcome != STREAM_OK;
}

static enum next conversation_wake(struct conversation *conversation)
{
    enum stream_outcome outcome = STREAM_TIMEOUT;

    if (conversation->server->is_closing)
        return NEXT_COMMAND; /* the next step says 421 */
    if (conversation->has_timed_out || is_at_end(conversation, &outcome))
        return conversation_lost(conversation, outcome, conversation->session.where);
    return NEXT_COMMAND;
}

/* The only loop: from the greeting, or from the byte that ended parking, to the next park or the
 * end. */
static void conversation_run(void *argument)
{
    struct conversation *conversation = argument;
    enum next next = conversation->is_greeted ? conversation_wake(conversation)
                                              : conversation_greet(conversation);

    while (next == NEXT_COMMAND)
        next = conversation_step(conversation);
    if (next == NEXT_PARK) {
        conversation_park(conversation);
        return;
    }
    (void)stream_flush(conversation->stream, conversation_deadline_ms(conversation));
    conversation_end(conversation);
}

void conversation_start(struct server *server, const struct policy *policy,
                        const struct arrival *arrival)
{
    autofree_buf struct buf address = { 0 };
    struct error error;
    struct stream *stream = stream_new(server->loop, arrival->fd, &error);

    if (stream == NULL) {
        log_warning(&policy->log, "accept a connection: %s", error.message);
        line_leave(arrival->line, arrival->place);
        return;
    }
    struct conversation *conversation = memory_new(sizeof(*conversation));
    conversation->server = server;
    conversation->policy = policy;
    conversation->stream = stream;
    conversation->peer = arrival->peer;
    conversation->own_line = arrival->line;
    conversation->place = arrival->place;
    net_address_format(&arrival->peer, &address);
    session_init(&conversation->session, buf_str(&address), net_address_port(&arrival->peer));
    conversation->session.logs_client_port = policy->config->smtpd_client_port_logging;
    conversation->session.connected_us = clock_wall_us();
    conversation->session.number = server->accepted_count;
    list_append(&server->conversations, &conversation->link);
    server->conversation_count++;
    server->accepted_count++;
    fiber_start(server->loop, "smtpd conversation", conversation_run, conversation);
}

void conversation_close_if_idle(struct conversation *conversation)
{
    if (!conversation->is_parked || session_in_transaction(&conversation->session))
        return;
    stream_unpark(conversation->stream);
    parked_ready(conversation, false);
}
