/* SPDX-License-Identifier: Apache-2.0 */
#include "dialogue.h"

#include "authentication.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/ensure.h"
#include "blame.h"
#include "content.h"
#include "envelope_command.h"
#include "hello.h"
#include "net/sasl_client.h"
#include "report.h"
#include "starttls.h"
#include "worker.h"

enum {
    SERVER_LINE_BYTES_MAX = 8192,   /* longer than any sane reply line: not SMTP */
    PIPELINE_BYTES_MAX = 16 * 1024, /* of commands under way, so that neither side's buffers fill */
    SMTP_PORT = 25,
};

enum next { NEXT_REPLY, NEXT_CLOSE };

struct command {
    enum session_phase phase;
    const char *name; /* behind "in reply to" */
    size_t timeout;   /* offset of the parameter in struct config */
    enum next (*on_reply)(struct session *session, const struct expect *expect);
};

/* ---- sending ---- */

static int64_t deadline_after(const struct session *session, int64_t seconds)
{
    return seconds > 0 ? loop_now_ms(session->loop) + seconds * 1000 : DEADLINE_NEVER;
}

/* Output gathers in memory and leaves when the next reply is waited for. A failure to write shows
 * again, with whatever the server said before, when its reply is read. */
static void send_bytes(struct session *session, struct str bytes)
{
    session_trace(session, '>', str_trim_end(bytes));
    (void)stream_write(session->stream, bytes,
                       deadline_after(session, session->transport->config->smtp_rcpt_timeout));
}

/* What only the server may read: the log shows `shown` in its place. */
static void send_secret(struct session *session, const char *verb, struct str secret)
{
    autofree_buf struct buf line = { 0 };
    bool has_secret = secret.ptr != NULL;

    buf_append_text(&line, verb);
    if (has_secret)
        base64_encode(secret, &line);
    if (has_secret && secret.len == 0 && verb[0] != '\0')
        buf_append_byte(&line, '=');
    buf_append_text(&line, "\r\n");
    session_trace(session, '>',
                  str_from(arena_printf(&session->delivery->job.arena, "%s%s", verb,
                                        has_secret ? "[login data]" : "")));
    (void)stream_write(session->stream, buf_str(&line),
                       deadline_after(session, session->transport->config->smtp_helo_timeout));
    sasl_wipe(&line);
}

/* ---- what a reply means; each handler sees the session's latest one ---- */

static enum next on_greeting(struct session *session, const struct expect *expect)
{
    (void)expect;
    if (session->reply.code / 100 != 2) {
        session->refusal = blame_refusal(session);
        return NEXT_CLOSE;
    }
    session->greets_esmtp = str_find(buf_str(&session->reply.text), STR("ESMTP")) >= 0;
    hello_note_firewall(session);
    return NEXT_REPLY;
}

/* The server greets us by the name we go by ourselves: mail would come back to us. */
static bool is_own_name(const struct session *session)
{
    struct str line, word;

    return session->port == SMTP_PORT && reply_line(&session->reply, 0, &line) &&
           str_next_word(&line, " \t", &word) &&
           str_equal_fold(word, session->transport->config->myhostname);
}

static const struct failure *blame_loop(const struct session *session)
{
    struct delivery *delivery = session->delivery;
    /* Where a better server exists this one is only in the way: it may be a mistake that passes. */
    struct failure *failure =
        failure_new(&delivery->job.arena, session->is_backup ? "4.4.6" : "5.4.6",
                    "mail for %.*s loops back to myself", STR_ARGS(delivery->job.nexthop));

    log_warning(&session->transport->log,
                "host %.*s replied to HELO/EHLO with my own hostname %.*s",
                STR_ARGS(session->relay), STR_ARGS(session->transport->config->myhostname));
    failure->relay = arena_copy(&delivery->job.arena, session->relay);
    return failure;
}

static enum next on_hello(struct session *session, const struct expect *expect)
{
    if (!reply_is_positive(session)) {
        if (expect->kind == COMMAND_EHLO && session->reply.code != 421)
            return NEXT_REPLY; /* HELO is tried next */
        session->refusal = blame_refusal(session);
        return NEXT_CLOSE;
    }
    if (is_own_name(session)) {
        session->refusal = blame_loop(session);
        return NEXT_CLOSE;
    }
    if (expect->kind != COMMAND_HELO)
        hello_learn_offer(session);
    session_enter(session, PHASE_READY);
    return NEXT_REPLY;
}

/* 421 announces that the server hangs up: nothing it accepted before counts. So does a reply that
 * cannot be one to the command: from here on we do not know what answers what. */
static enum next end_conversation(struct session *session, const char *command)
{
    blame_everybody(session, blame_reply(session, command));
    return NEXT_CLOSE;
}

static enum next on_starttls(struct session *session, const struct expect *expect)
{
    (void)expect;
    session->is_tls_granted = session->reply.code / 100 == 2;
    if (session->is_tls_granted)
        return NEXT_REPLY;
    if (session->reply.code == 421) {
        session->refusal = blame_refusal(session);
        return NEXT_CLOSE;
    }
    session_enter(session, PHASE_READY);
    return starttls_accept_refusal(session) ? NEXT_REPLY : NEXT_CLOSE;
}

/* A login under way: challenges and responses, until the server says yes or no. */
static enum next on_auth(struct session *session, const struct expect *expect)
{
    autofree_buf struct buf challenge = { 0 }, response = { 0 };
    struct str text = STR("");

    (void)expect;
    if (reply_is_positive(session) && sasl_client_is_satisfied(session->login)) {
        session->is_authenticated = true;
        session_enter(session, PHASE_READY);
        return NEXT_REPLY;
    }
    if (session->reply.code != 334) {
        session->refusal = reply_is_positive(session)
                               ? authentication_impossible(session, "bad protocol / cancel")
                               : authentication_refused(session);
        return NEXT_CLOSE;
    }
    bool is_fine = reply_line(&session->reply, 0, &text) &&
                   base64_decode(str_trim(text), &challenge) &&
                   sasl_client_respond(session->login, buf_str(&challenge), &response);
    if (!is_fine) {
        session->refusal = authentication_impossible(session, "bad protocol / cancel");
        return NEXT_CLOSE;
    }
    session_expect_push(session, COMMAND_AUTH, 0);
    send_secret(session, "", buf_str(&response));
    sasl_wipe(&response);
    return NEXT_REPLY;
}

static enum next on_xforward(struct session *session, const struct expect *expect)
{
    autofree_buf struct buf text = { 0 };

    (void)expect;
    if (session->reply.code == 421)
        return end_conversation(session, "XFORWARD command");
    if (reply_is_positive(session))
        return NEXT_REPLY;
    reply_format(&session->reply, &text);
    log_warning(&session->transport->log, "host %.*s said: %s (in reply to XFORWARD command)",
                STR_ARGS(session->name), buf_text(&text));
    return NEXT_REPLY;
}

static enum next on_mail(struct session *session, const struct expect *expect)
{
    (void)expect;
    session->delivery->site = SITE_WORKED;
    if (session->reply.code == 421 || (!reply_is_positive(session) && !reply_is_negative(session)))
        return end_conversation(session, "MAIL FROM command");
    session->is_mail_accepted = reply_is_positive(session);
    if (!session->is_mail_accepted)
        blame_everybody(session, blame_reply(session, "MAIL FROM command"));
    return NEXT_REPLY;
}

/* An address is verified: the transaction ends where content would begin. */
static bool is_probe(const struct delivery *delivery)
{
    return (delivery->job.envelope.flags & ENVELOPE_PROBE) != 0;
}

/* smtp_address_verify_target: some servers say no only to DATA. */
static bool ends_with_recipients(const struct session *session)
{
    return is_probe(session->delivery) &&
           !str_equal(session->transport->config->smtp_address_verify_target, STR("data"));
}

static enum next on_rcpt(struct session *session, const struct expect *expect)
{
    struct attempt *attempt = &session->delivery->attempts[expect->recipient];

    if (session->reply.code == 421 || (!reply_is_positive(session) && !reply_is_negative(session)))
        return end_conversation(session, "RCPT TO command");
    if (!session->is_mail_accepted)
        return NEXT_REPLY; /* was sent before MAIL was refused; all is said */
    if (reply_is_positive(session) && ends_with_recipients(session)) {
        report_sent(session->delivery, expect->recipient, session);
    } else if (reply_is_positive(session)) {
        attempt->progress = PROGRESS_ACCEPTED;
        session->accepted_count++;
    } else {
        blame_recipient(session, expect->recipient, blame_reply(session, "RCPT TO command"));
    }
    return NEXT_REPLY;
}

static void content_accepted(struct session *session)
{
    struct delivery *delivery = session->delivery;

    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress == PROGRESS_ACCEPTED)
            report_sent(delivery, i, session);
    }
}

static enum next on_data(struct session *session, const struct expect *expect)
{
    (void)expect;
    if (session->reply.code == 354 && is_probe(session->delivery)) {
        content_accepted(session); /* as far as it goes: there is no content */
        return NEXT_CLOSE;
    }
    if (session->reply.code == 354) {
        session->is_content_wanted = true;
        return NEXT_REPLY;
    }
    if (session->reply.code == 421 || !reply_is_negative(session))
        return end_conversation(session, "DATA command");
    blame_accepted(session, blame_reply(session, "DATA command"));
    return NEXT_REPLY;
}

static enum next on_final_dot(struct session *session, const struct expect *expect)
{
    bool is_accepted = reply_is_positive(session) && !session->is_content_broken;

    (void)expect;
    if (is_accepted)
        content_accepted(session);
    else if (reply_is_negative(session))
        blame_accepted(session, blame_reply(session, "end of DATA command"));
    else
        blame_doubtful(session, blame_reply(session, "end of DATA command"));
    if (session->reply.code == 421 || !(is_accepted || reply_is_negative(session)) ||
        session->is_content_broken)
        return NEXT_CLOSE;
    session_enter(session, PHASE_READY);
    return NEXT_REPLY;
}

/* LMTP: a reply for each recipient that was accepted, in their order. */
static enum next on_recipient_dot(struct session *session, const struct expect *expect)
{
    bool is_accepted = reply_is_positive(session) && !session->is_content_broken;

    if (is_accepted)
        report_sent(session->delivery, expect->recipient, session);
    else if (reply_is_negative(session) && session->reply.code != 421)
        blame_recipient(session, expect->recipient, blame_reply(session, "end of DATA command"));
    else
        blame_doubtful(session, blame_reply(session, "end of DATA command"));
    if (session->reply.code == 421 || !(is_accepted || reply_is_negative(session)) ||
        session->is_content_broken)
        return NEXT_CLOSE;
    if (session->expect_count == 0)
        session_enter(session, PHASE_READY);
    return NEXT_REPLY;
}

static enum next on_reset(struct session *session, const struct expect *expect)
{
    (void)expect;
    if (!reply_is_positive(session))
        return NEXT_CLOSE;
    session_enter(session, PHASE_READY);
    return NEXT_REPLY;
}

static enum next on_quit(struct session *session, const struct expect *expect)
{
    (void)session;
    (void)expect;
    return NEXT_CLOSE;
}

#define SECONDS(parameter) offsetof(struct config, parameter)

/* clang-format off */
static const struct command commands[] = {
    /* command                phase            name                   seconds for the reply               reply handler */
    [COMMAND_GREETING]  = { PHASE_GREETING,  "",                    SECONDS(smtp_helo_timeout),         on_greeting },
    [COMMAND_EHLO]      = { PHASE_EHLO,      "EHLO command",        SECONDS(smtp_helo_timeout),         on_hello },
    [COMMAND_HELO]      = { PHASE_HELO,      "HELO command",        SECONDS(smtp_helo_timeout),         on_hello },
    [COMMAND_LHLO]      = { PHASE_LHLO,      "LHLO command",        SECONDS(smtp_helo_timeout),         on_hello },
    [COMMAND_STARTTLS]  = { PHASE_STARTTLS,  "STARTTLS command",    SECONDS(smtp_starttls_timeout),     on_starttls },
    [COMMAND_AUTH]      = { PHASE_AUTH,      "AUTH command",        SECONDS(smtp_helo_timeout),         on_auth },
    [COMMAND_XFORWARD]  = { PHASE_XFORWARD,  "XFORWARD command",    SECONDS(smtp_xforward_timeout),     on_xforward },
    [COMMAND_MAIL]      = { PHASE_MAIL,      "MAIL FROM command",   SECONDS(smtp_mail_timeout),         on_mail },
    [COMMAND_RCPT]      = { PHASE_RCPT,      "RCPT TO command",     SECONDS(smtp_rcpt_timeout),         on_rcpt },
    [COMMAND_DATA]      = { PHASE_DATA,      "DATA command",        SECONDS(smtp_data_init_timeout),    on_data },
    [COMMAND_FINAL_DOT] = { PHASE_FINAL_DOT, "end of DATA command", SECONDS(smtp_data_done_timeout),    on_final_dot },
    [COMMAND_RECIPIENT_DOT] = { PHASE_FINAL_DOT, "end of DATA command", SECONDS(smtp_data_done_timeout), on_recipient_dot },
    [COMMAND_RSET]      = { PHASE_RSET,      "RSET command",        SECONDS(smtp_rset_timeout),         on_reset },
    [COMMAND_QUIT]      = { PHASE_QUIT,      "QUIT command",        SECONDS(smtp_quit_timeout),         on_quit },
};
/* clang-format on */

/* ---- the driver ---- */

static int64_t command_deadline(const struct session *session, const struct command *command)
{
    const char *config = (const char *)session->transport->config;

    return deadline_after(session,
                          *(const config_type_TIME *)(const void *)(config + command->timeout));
}

/* Within a transaction: a reply that says the server does not follow us (RFC 5321's x0z, and what
 * is no reply to these commands). The postmaster may want to see why. */
static void look_for_misunderstanding(struct session *session)
{
    int code = session->reply.code;

    if (session->delivery == NULL || (code >= 200 && code < 400))
        return;
    if (code < 400 || code > 599 || code == 555 || (code >= 500 && code < 510))
        session->transcript.seen |= ERROR_CLASS_PROTOCOL;
}

static enum stream_outcome receive_reply(struct session *session, int64_t deadline_ms)
{
    enum stream_outcome outcome;
    struct str line;

    reply_clear(&session->reply);
    for (;;) {
        outcome =
            stream_read_line(session->stream, SERVER_LINE_BYTES_MAX, deadline_ms, &line, NULL);
        if (outcome != STREAM_OK)
            return outcome;
        switch (reply_add_line(&session->reply, session_hear(session, line))) {
        case REPLY_MORE:
            break;
        case REPLY_COMPLETE:
            look_for_misunderstanding(session);
            return STREAM_OK;
        case REPLY_MALFORMED:
            return STREAM_TOO_LONG;
        }
    }
}

/* A connection that was idle may have been closed meanwhile, or hear that it has been idle too
 * long: nobody's failure. */
static bool is_stale(const struct session *session, const struct expect *expect,
                     enum stream_outcome outcome)
{
    if (expect->kind != COMMAND_MAIL || session->use_count <= 1)
        return false;
    return outcome == STREAM_CLOSED || outcome == STREAM_FAILED ||
           (outcome == STREAM_OK && session->reply.code == 421);
}

static void conversation_lost(struct session *session, enum session_phase phase,
                              enum stream_outcome outcome)
{
    if (session->phase == PHASE_QUIT || session->phase == PHASE_RSET)
        ; /* nothing depends on it */
    else if (session->use_count == 0)
        session->refusal = blame_connection(session, phase, outcome);
    else
        blame_lost_transaction(session, phase, outcome);
    if (outcome != STREAM_TOO_LONG)
        session_enter(session, PHASE_CLOSED);
}

/* Reads the replies to all that was sent. False: the conversation is over, and everybody it
 * concerns has a failure, or is as before (is_stale, cancelled). */
static bool drive(struct session *session)
{
    struct expect expect;

    while (session_expect_pop(session, &expect)) {
        const struct command *command = &commands[expect.kind];
        enum stream_outcome outcome;

        if (session->phase != command->phase)
            session_enter(session, command->phase);
        outcome = receive_reply(session, command_deadline(session, command));
        if (is_stale(session, &expect, outcome)) {
            session->is_stale = session->must_close = true;
            return false;
        }
        if (outcome != STREAM_OK) {
            session->must_close = true;
            conversation_lost(session, session->is_content_broken ? PHASE_CONTENT : command->phase,
                              outcome);
            return false;
        }
        if (command->on_reply(session, &expect) == NEXT_CLOSE) {
            session->must_close = true;
            return false;
        }
    }
    return true;
}

/* ---- sending ---- */

static bool send_hello(struct session *session, enum command_kind kind)
{
    autofree_buf struct buf line = { 0 };

    buf_append_text(&line, kind == COMMAND_EHLO   ? "EHLO "
                           : kind == COMMAND_LHLO ? "LHLO "
                                                  : "HELO ");
    buf_append(&line, session->transport->helo_name);
    buf_append_text(&line, "\r\n");
    session_expect_push(session, kind, 0);
    send_bytes(session, buf_str(&line));
    return drive(session);
}

/* EHLO where it `is_extended`, and HELO for a server that does not know it. */
static bool greet_back(struct session *session, bool is_extended)
{
    if (session->transport->is_lmtp)
        return send_hello(session, COMMAND_LHLO);
    if (is_extended && !send_hello(session, COMMAND_EHLO))
        return false;
    return session->phase == PHASE_READY || send_hello(session, COMMAND_HELO);
}

/* STARTTLS where the policy wants it; what was learned before is learned again inside. */
static bool start_tls(struct session *session)
{
    bool is_wanted;

    if (!starttls_check_offer(session, &is_wanted))
        return false;
    if (!is_wanted)
        return true;
    session_expect_push(session, COMMAND_STARTTLS, 0);
    send_bytes(session, STR("STARTTLS\r\n"));
    if (!drive(session) || !session->is_tls_granted)
        return session->phase == PHASE_READY && session->refusal == NULL;
    return starttls_shake_hands(session) && greet_back(session, true);
}

static bool send_auth(struct session *session)
{
    autofree_buf struct buf response = { 0 };
    const char *verb = arena_printf(&session->delivery->job.arena, "AUTH %s",
                                    sasl_client_mechanism(session->login));
    bool has_response = sasl_client_begin(session->login, &response);

    if (has_response)
        verb = arena_printf(&session->delivery->job.arena, "%s ", verb);
    session_expect_push(session, COMMAND_AUTH, 0);
    send_secret(session, verb, has_response ? buf_str(&response) : (struct str){ 0 });
    sasl_wipe(&response);
    return drive(session);
}

static bool log_in(struct session *session)
{
    bool is_fine = true;

    switch (authentication_plan(session, &session->refusal)) {
    case AUTHENTICATION_NONE:
        return true;
    case AUTHENTICATION_FAILED:
        return false;
    case AUTHENTICATION_READY:
        is_fine = send_auth(session);
        break;
    }
    authentication_end(session);
    return is_fine;
}

static bool may_extend(const struct session *session)
{
    const struct config *config = session->transport->config;

    return !config->smtp_never_send_ehlo && (session->pix_workarounds & PIX_DISABLE_ESMTP) == 0 &&
           (config->smtp_always_send_ehlo || session->greets_esmtp);
}

bool dialogue_greet(struct session *session, struct delivery *delivery,
                    const struct failure **failure)
{
    bool is_fine;

    session->delivery = delivery;
    session->refusal = NULL;
    is_fine = !session->tls_policy->is_wrapped || starttls_shake_hands(session);
    session_expect_push(session, COMMAND_GREETING, 0);
    is_fine = is_fine && drive(session) && greet_back(session, may_extend(session)) &&
              start_tls(session) && log_in(session);
    *failure = session->refusal;
    session->delivery = NULL;
    return is_fine;
}

static void send_command(struct session *session, enum command_kind kind, size_t recipient,
                         size_t *sent_bytes)
{
    struct delivery *delivery = session->delivery;
    struct buf *line = &delivery->worker->scratch;

    buf_clear(line);
    if (kind == COMMAND_MAIL)
        envelope_command_mail(session, line);
    else if (kind == COMMAND_RCPT)
        envelope_command_rcpt(session, recipient, line);
    else
        buf_append_text(line, "DATA\r\n");
    session_expect_push(session, kind, (uint32_t)recipient);
    *sent_bytes += line->len;
    send_bytes(session, buf_str(line));
}

/* Tells a filter who the client was. Not answered well, it does without. */
static bool send_xforward(struct session *session, size_t *sent_bytes)
{
    struct buf *line = &session->delivery->worker->scratch;
    bool is_pipelined = (session->offer.features & FEATURE_PIPELINING) != 0;

    if (!session->transport->config->smtp_send_xforward_command)
        return true;
    for (enum xforward_part part = XFORWARD_CLIENT; part <= XFORWARD_PROTOCOL; part++) {
        buf_clear(line);
        if (!envelope_command_xforward(session, part, line))
            continue;
        session_expect_push(session, COMMAND_XFORWARD, 0);
        *sent_bytes += line->len;
        send_bytes(session, buf_str(line));
        if (!is_pipelined && !drive(session))
            return false;
    }
    return true;
}

/* MAIL, RCPT for each open recipient, DATA: together where the server takes them so. False when
 * the conversation is over. */
static bool send_envelope(struct session *session)
{
    struct delivery *delivery = session->delivery;
    size_t limit = (session->offer.features & FEATURE_PIPELINING) != 0 ? PIPELINE_BYTES_MAX : 0;
    size_t sent_bytes = 0;

    if (!send_xforward(session, &sent_bytes))
        return false;
    send_command(session, COMMAND_MAIL, 0, &sent_bytes);
    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress != PROGRESS_OPEN)
            continue;
        if (sent_bytes > limit) {
            if (!drive(session))
                return false;
            if (!session->is_mail_accepted)
                return true;
            sent_bytes = 0;
        }
        send_command(session, COMMAND_RCPT, i, &sent_bytes);
    }
    if (sent_bytes > limit || is_probe(delivery)) {
        if (!drive(session))
            return false;
        if (session->accepted_count == 0)
            return true;
    }
    send_command(session, COMMAND_DATA, 0, &sent_bytes);
    return drive(session);
}

static void expect_verdict(struct session *session)
{
    const struct delivery *delivery = session->delivery;

    if (!session->transport->is_lmtp) {
        session_expect_push(session, COMMAND_FINAL_DOT, 0);
        return;
    }
    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress == PROGRESS_ACCEPTED)
            session_expect_push(session, COMMAND_RECIPIENT_DOT, (uint32_t)i);
    }
}

static void send_content(struct session *session)
{
    enum stream_outcome outcome;

    session_enter(session, PHASE_CONTENT);
    session->delivery->is_content_under_way = true;
    outcome = content_send(session);
    if (outcome == STREAM_TIMEOUT || outcome == STREAM_CANCELLED) {
        session->must_close = true;
        conversation_lost(session, PHASE_CONTENT, outcome);
    } else {
        /* Where writing failed the server may have said why before it hung up. */
        session->is_content_broken = outcome != STREAM_OK;
        session_trace(session, '>', STR("."));
        expect_verdict(session);
        (void)drive(session);
    }
    session->delivery->is_content_under_way = false;
}

/* A server that said 354 although it accepted nobody gets an empty message, which goes nowhere. */
static void send_nothing(struct session *session)
{
    send_bytes(session, STR(".\r\n"));
    session_expect_push(session, COMMAND_FINAL_DOT, 0);
    (void)drive(session);
}

static void transact(struct session *session)
{
    const struct failure *obstacle = is_probe(session->delivery) ? NULL : content_obstacle(session);

    if (obstacle != NULL) {
        blame_everybody(session, obstacle);
        return;
    }
    if (send_envelope(session) && session->is_content_wanted) {
        if (session->accepted_count > 0)
            send_content(session);
        else
            send_nothing(session);
    }
}

void dialogue_transact(struct session *session, struct delivery *delivery)
{
    session->delivery = delivery;
    session->is_mail_accepted = session->is_content_wanted = session->is_content_broken = false;
    session->is_stale = false;
    session->accepted_count = 0;
    session->use_count++;
    transact(session);
    report_misunderstanding(session);
    session->expect_count = 0;
    session->delivery = NULL;
}

bool dialogue_reset(struct session *session)
{
    send_bytes(session, STR("RSET\r\n"));
    session_expect_push(session, COMMAND_RSET, 0);
    return drive(session);
}

void dialogue_quit(struct session *session)
{
    if (session->phase == PHASE_CLOSED)
        return;
    session_enter(session, PHASE_QUIT);
    session->expect_count = 0;
    send_bytes(session, STR("QUIT\r\n"));
    if (session->transport->config->smtp_skip_quit_response) {
        (void)stream_flush(session->stream, command_deadline(session, &commands[COMMAND_QUIT]));
        return;
    }
    session_expect_push(session, COMMAND_QUIT, 0);
    (void)drive(session);
}
