/* SPDX-License-Identifier: Apache-2.0 */
#include "dialogue.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "blame.h"
#include "mail/address.h"
#include "mail/dot_stuffing.h"
#include "mail/header.h"
#include "report.h"
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

/* ---- what a reply means; each handler sees the session's latest one ---- */

static enum next on_greeting(struct session *session, const struct expect *expect)
{
    (void)expect;
    if (session->reply.code / 100 != 2) {
        session->refusal = blame_refusal(session);
        return NEXT_CLOSE;
    }
    session->greets_esmtp = str_find(buf_str(&session->reply.text), STR("ESMTP")) >= 0;
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
        failure_new(&delivery->arena, session->is_backup ? "4.4.6" : "5.4.6",
                    "mail for %.*s loops back to myself", STR_ARGS(delivery->nexthop));

    log_warning(&session->transport->log,
                "host %.*s replied to HELO/EHLO with my own hostname %.*s",
                STR_ARGS(session->relay), STR_ARGS(session->transport->config->myhostname));
    failure->relay = arena_copy(&delivery->arena, session->relay);
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
        ehlo_parse(&session->reply, session->transport->config->smtp_discard_ehlo_keywords,
                   &session->offer);
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

static enum next on_rcpt(struct session *session, const struct expect *expect)
{
    struct attempt *attempt = &session->delivery->attempts[expect->recipient];

    if (session->reply.code == 421 || (!reply_is_positive(session) && !reply_is_negative(session)))
        return end_conversation(session, "RCPT TO command");
    if (!session->is_mail_accepted)
        return NEXT_REPLY; /* was sent before MAIL was refused; all is said */
    if (reply_is_positive(session)) {
        attempt->progress = PROGRESS_ACCEPTED;
        session->accepted_count++;
    } else {
        blame_recipient(session, expect->recipient, blame_reply(session, "RCPT TO command"));
    }
    return NEXT_REPLY;
}

static enum next on_data(struct session *session, const struct expect *expect)
{
    (void)expect;
    if (session->reply.code == 354) {
        session->is_content_wanted = true;
        return NEXT_REPLY;
    }
    if (session->reply.code == 421 || !reply_is_negative(session))
        return end_conversation(session, "DATA command");
    blame_accepted(session, blame_reply(session, "DATA command"));
    return NEXT_REPLY;
}

static void content_accepted(struct session *session)
{
    struct delivery *delivery = session->delivery;

    for (size_t i = 0; i < delivery->envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress == PROGRESS_ACCEPTED)
            report_sent(delivery, i, session);
    }
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

static int64_t deadline_after(const struct session *session, int64_t seconds)
{
    return seconds > 0 ? loop_now_ms(session->loop) + seconds * 1000 : DEADLINE_NEVER;
}

static int64_t command_deadline(const struct session *session, const struct command *command)
{
    const char *config = (const char *)session->transport->config;

    return deadline_after(session,
                          *(const config_type_TIME *)(const void *)(config + command->timeout));
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
        switch (reply_add_line(&session->reply, line)) {
        case REPLY_MORE:
            break;
        case REPLY_COMPLETE:
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

/* Output gathers in memory and leaves when the next reply is waited for. A failure to write shows
 * again, with whatever the server said before, when its reply is read. */
static void send_bytes(struct session *session, struct str bytes)
{
    (void)stream_write(session->stream, bytes,
                       deadline_after(session, session->transport->config->smtp_rcpt_timeout));
}

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

bool dialogue_greet(struct session *session, struct delivery *delivery,
                    const struct failure **failure)
{
    const struct config *config = session->transport->config;
    bool is_fine;

    session->delivery = delivery;
    session->refusal = NULL;
    session_expect_push(session, COMMAND_GREETING, 0);
    is_fine = drive(session);
    if (is_fine && session->transport->is_lmtp)
        is_fine = send_hello(session, COMMAND_LHLO);
    else if (is_fine && !config->smtp_never_send_ehlo &&
             (config->smtp_always_send_ehlo || session->greets_esmtp))
        is_fine = send_hello(session, COMMAND_EHLO);
    if (is_fine && session->phase != PHASE_READY)
        is_fine = send_hello(session, COMMAND_HELO);
    *failure = session->refusal;
    session->delivery = NULL;
    return is_fine;
}

static void append_mail(const struct session *session, struct buf *out)
{
    const struct envelope *envelope = &session->delivery->envelope;
    uint32_t features = session->offer.features;

    buf_append_text(out, "MAIL FROM:");
    address_format_angle(envelope->sender, out);
    if ((features & FEATURE_SIZE) != 0) {
        buf_append_text(out, " SIZE=");
        buf_append_u64(out, envelope->size_bytes);
    }
    if ((features & FEATURE_8BITMIME) != 0 && (envelope->flags & ENVELOPE_8BITMIME) != 0)
        buf_append_text(out, " BODY=8BITMIME");
    if ((features & FEATURE_SMTPUTF8) != 0 && (envelope->flags & ENVELOPE_SMTPUTF8) != 0)
        buf_append_text(out, " SMTPUTF8");
    if ((features & FEATURE_DSN) != 0) {
        if (envelope->dsn_envid.len > 0) {
            buf_append_text(out, " ENVID=");
            buf_append(out, envelope->dsn_envid);
        }
        if ((envelope->flags & ENVELOPE_RET_FULL) != 0)
            buf_append_text(out, " RET=FULL");
        else if ((envelope->flags & ENVELOPE_RET_HEADERS) != 0)
            buf_append_text(out, " RET=HDRS");
    }
    buf_append_text(out, "\r\n");
}

static void append_notify(uint8_t notify, struct buf *out)
{
    static const struct {
        uint8_t bit;
        const char *word;
    } words[] = { { DSN_NOTIFY_NEVER, "NEVER" },
                  { DSN_NOTIFY_SUCCESS, "SUCCESS" },
                  { DSN_NOTIFY_FAILURE, "FAILURE" },
                  { DSN_NOTIFY_DELAY, "DELAY" } };
    const char *separator = " NOTIFY=";

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if ((notify & words[i].bit) == 0)
            continue;
        buf_append_text(out, separator);
        buf_append_text(out, words[i].word);
        separator = ",";
    }
}

static void append_rcpt(const struct session *session, const struct recipient *recipient,
                        struct buf *out)
{
    buf_append_text(out, "RCPT TO:");
    address_format_angle(recipient->address, out);
    if ((session->offer.features & FEATURE_DSN) != 0) {
        append_notify(recipient->dsn_notify, out);
        if (recipient->dsn_orcpt.len > 0) {
            buf_append_text(out, " ORCPT=");
            buf_append(out, recipient->dsn_orcpt);
        }
    }
    buf_append_text(out, "\r\n");
}

static void send_command(struct session *session, enum command_kind kind, size_t recipient,
                         size_t *sent_bytes)
{
    struct delivery *delivery = session->delivery;
    struct buf *line = &delivery->worker->scratch;

    buf_clear(line);
    if (kind == COMMAND_MAIL)
        append_mail(session, line);
    else if (kind == COMMAND_RCPT)
        append_rcpt(session, &delivery->envelope.recipients[recipient], line);
    else
        buf_append_text(line, "DATA\r\n");
    session_expect_push(session, kind, (uint32_t)recipient);
    *sent_bytes += line->len;
    send_bytes(session, buf_str(line));
}

/* MAIL, RCPT for each open recipient, DATA: together where the server takes them so. False when
 * the conversation is over. */
static bool send_envelope(struct session *session)
{
    struct delivery *delivery = session->delivery;
    size_t limit = (session->offer.features & FEATURE_PIPELINING) != 0 ? PIPELINE_BYTES_MAX : 0;
    size_t sent_bytes = 0;

    send_command(session, COMMAND_MAIL, 0, &sent_bytes);
    for (size_t i = 0; i < delivery->envelope.recipient_count; i++) {
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
    if (sent_bytes > limit) {
        if (!drive(session))
            return false;
        if (session->accepted_count == 0)
            return true;
    }
    send_command(session, COMMAND_DATA, 0, &sent_bytes);
    return drive(session);
}

/* The accepted recipient of a delivery that takes only one (flags=D and O). */
static const struct recipient *only_recipient(const struct delivery *delivery)
{
    for (size_t i = 0; i < delivery->envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress == PROGRESS_ACCEPTED)
            return &delivery->envelope.recipients[i];
    }
    unreachable();
}

/* The headers that the service's flags put in front. */
static void append_flagged_headers(const struct session *session, struct buf *out)
{
    const struct transport *transport = session->transport;
    const struct delivery *delivery = session->delivery;

    if (transport->has_flag_return_path) {
        buf_append_text(out, "Return-Path: ");
        address_format_angle(delivery->envelope.sender, out);
        buf_append_text(out, "\r\n");
    }
    if (transport->has_flag_original_to) {
        const struct recipient *to = only_recipient(delivery);
        buf_append_text(out, "X-Original-To: ");
        buf_append(out, to->original_recipient.len > 0 ? to->original_recipient : to->address);
        buf_append_text(out, "\r\n");
    }
    if (transport->has_flag_delivered_to) {
        buf_append_text(out, "Delivered-To: ");
        buf_append(out, only_recipient(delivery)->address);
        buf_append_text(out, "\r\n");
    }
}

static enum stream_outcome write_encoded(struct session *session, struct dot_encoder *encoder,
                                         struct str content)
{
    int64_t timeout_s = session->transport->config->smtp_data_xfer_timeout;
    enum stream_outcome outcome = STREAM_OK;
    struct str piece;

    while (outcome == STREAM_OK && dot_encode_next(encoder, &content, &piece))
        outcome = stream_write(session->stream, piece, deadline_after(session, timeout_s));
    return outcome;
}

static enum stream_outcome write_content(struct session *session)
{
    const struct config *config = session->transport->config;
    struct dot_encoder encoder = { .line_length_limit = (size_t)config->smtp_line_length_limit };
    autofree_buf struct buf headers = { 0 };
    enum stream_outcome outcome;

    append_flagged_headers(session, &headers);
    outcome = write_encoded(session, &encoder, buf_str(&headers));
    if (outcome == STREAM_OK)
        outcome = write_encoded(session, &encoder, session->delivery->content);
    if (outcome == STREAM_OK)
        outcome = stream_write(session->stream, dot_encode_end(&encoder),
                               deadline_after(session, config->smtp_data_xfer_timeout));
    if (outcome == STREAM_OK)
        outcome =
            stream_flush(session->stream, deadline_after(session, config->smtp_data_xfer_timeout));
    return outcome;
}

static void expect_verdict(struct session *session)
{
    const struct delivery *delivery = session->delivery;

    if (!session->transport->is_lmtp) {
        session_expect_push(session, COMMAND_FINAL_DOT, 0);
        return;
    }
    for (size_t i = 0; i < delivery->envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress == PROGRESS_ACCEPTED)
            session_expect_push(session, COMMAND_RECIPIENT_DOT, (uint32_t)i);
    }
}

static void send_content(struct session *session)
{
    enum stream_outcome outcome;

    session_enter(session, PHASE_CONTENT);
    session->delivery->is_content_under_way = true;
    outcome = write_content(session);
    if (outcome == STREAM_TIMEOUT || outcome == STREAM_CANCELLED) {
        session->must_close = true;
        conversation_lost(session, PHASE_CONTENT, outcome);
    } else {
        /* Where writing failed the server may have said why before it hung up. */
        session->is_content_broken = outcome != STREAM_OK;
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

/* What can be known before anything is sent. */
static const struct failure *find_obstacle(const struct session *session)
{
    struct delivery *delivery = session->delivery;
    const struct envelope *envelope = &delivery->envelope;
    struct failure *failure = NULL;

    if (session->offer.size_limit > 0 && envelope->size_bytes > session->offer.size_limit)
        failure = failure_new(
            &delivery->arena, "5.3.4", "message size %llu exceeds size limit %llu of server %.*s",
            (unsigned long long)envelope->size_bytes, (unsigned long long)session->offer.size_limit,
            STR_ARGS(session->name));
    else if ((envelope->flags & ENVELOPE_SMTPUTF8) != 0 &&
             (session->offer.features & FEATURE_SMTPUTF8) == 0)
        failure = failure_new(&delivery->arena, "5.6.7",
                              "SMTPUTF8 is required, but was not offered by host %.*s",
                              STR_ARGS(session->name));
    if (failure != NULL)
        failure->relay = arena_copy(&delivery->arena, session->relay);
    return failure;
}

/* A message that was delivered to this recipient before goes round in circles. */
static bool is_delivered_to(const struct delivery *delivery, struct str address)
{
    struct str content = delivery->content;
    struct header header;

    while (header_next(&content, &header)) {
        if (header_is(&header, "Delivered-To") && str_equal_fold(header.value, address))
            return true;
    }
    return false;
}

static const struct failure *find_flag_obstacle(const struct session *session)
{
    const struct transport *transport = session->transport;
    struct delivery *delivery = session->delivery;
    struct str address = delivery->envelope.recipients[0].address;

    if (!transport->has_flag_delivered_to && !transport->has_flag_original_to)
        return NULL;
    if (delivery->envelope.recipient_count > 1)
        return failure_new(&delivery->arena, "4.3.5",
                           "mail system configuration error: flags D and O need "
                           "%.*s_destination_recipient_limit = 1",
                           STR_ARGS(transport->name));
    if (transport->has_flag_delivered_to && is_delivered_to(delivery, address))
        return failure_new(&delivery->arena, "5.4.6", "mail forwarding loop for %.*s",
                           STR_ARGS(address));
    return NULL;
}

static void transact(struct session *session)
{
    const struct failure *obstacle = find_obstacle(session);

    if (obstacle == NULL)
        obstacle = find_flag_obstacle(session);
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
