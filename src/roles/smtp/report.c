/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "mail/address.h"
#include "mail/status_code.h"
#include "worker.h"

static void settle(struct delivery *delivery, size_t recipient, enum delivery_status status,
                   const struct failure *outcome, enum dsn_action action)
{
    struct wire_deliver_result message = {
        .job = delivery->job.number,
        .recipient = (uint32_t)recipient,
        .status = (uint8_t)status,
        .dsn = outcome->dsn,
        .diagnostic = outcome->text,
        .relay = outcome->relay,
        .remote_mta = outcome->remote_mta,
        .smtp_reply = outcome->smtp_reply,
        .action = (uint8_t)action,
    };

    ensure(delivery->attempts[recipient].progress != PROGRESS_SETTLED);
    delivery->attempts[recipient].progress = PROGRESS_SETTLED;
    delivery->open_count--;
    struct channel *queue = job_queue(&delivery->job);
    if (queue != NULL)
        wire_send_deliver_result(queue, &message);
}

static bool is_probe(const struct delivery *delivery)
{
    return (delivery->job.envelope.flags & ENVELOPE_PROBE) != 0;
}

static void log_outcome(struct delivery *delivery, size_t recipient, enum delivery_status status,
                        const struct failure *outcome, unsigned connection_use)
{
    const struct recipient *to = &delivery->job.envelope.recipients[recipient];
    struct log_delivery line = {
        .queue_id = str_from(delivery->job.queue_id.text),
        .recipient = to->address,
        .original_recipient = to->original_recipient,
        .relay = outcome->relay,
        .connection_use = connection_use,
        .times = delivery->job.times,
        .delay_decimals = delivery->transport != NULL
                              ? delivery->transport->config->delay_logging_resolution_limit
                              : delivery->worker->delay_decimals,
        .dsn = outcome->dsn,
        .status = delivery_status_word(status, is_probe(delivery)),
        .diagnostic = outcome->text,
    };
    struct buf *text = &delivery->worker->scratch;

    line.times.done_us = clock_wall_us();
    buf_clear(text);
    log_line_delivery(&line, text);
    log_write_text(delivery->transport != NULL ? &delivery->transport->log : &delivery->worker->log,
                   SEVERITY_INFO, buf_str(text));
}

static void filter_outcome(struct delivery *delivery, struct failure *outcome)
{
    const struct transport *transport = delivery->transport;

    if (transport != NULL)
        status_filter_apply(transport->tables.status_filter, &delivery->job.arena, &transport->log,
                            &outcome->dsn, &outcome->text);
}

static unsigned connection_use(const struct session *session)
{
    return session != NULL ? session->use_count : 0;
}

/* A server with DSN tells of success itself (RFC 3461 5.2.2). One of LMTP without it may be taken
 * for the end of the way. */
static enum dsn_action action_of(const struct delivery *delivery, const struct session *session)
{
    const struct transport *transport = delivery->transport;

    if ((session->offer.features & FEATURE_DSN) != 0)
        return DSN_ACTION_PASSED_ON;
    return transport->is_lmtp && transport->config->lmtp_assume_final ? DSN_ACTION_DELIVERED
                                                                      : DSN_ACTION_RELAYED;
}

void report_sent(struct delivery *delivery, size_t recipient, const struct session *session)
{
    struct failure outcome = { .relay = session->relay, .remote_mta = session->host };
    autofree_buf struct buf text = { 0 };

    reply_format(&session->reply, &text);
    outcome.dsn = reply_status(&session->reply);
    if (outcome.dsn.ptr[0] != '2') /* a probe that ended with 354 */
        outcome.dsn = STR("2.0.0");
    outcome.text = outcome.smtp_reply = buf_str(&text);
    filter_outcome(delivery, &outcome);
    log_outcome(delivery, recipient, DELIVERY_SENT, &outcome, connection_use(session));
    settle(delivery, recipient, DELIVERY_SENT, &outcome, action_of(delivery, session));
}

void report_failed(struct delivery *delivery, size_t recipient, const struct failure *failure,
                   const struct session *session)
{
    struct failure outcome = *failure;

    filter_outcome(delivery, &outcome);
    bool is_soft = failure_is_soft(&outcome);
    if (!is_soft && delivery->transport->config->soft_bounce && !is_probe(delivery)) {
        char *dsn = arena_new(&delivery->job.arena, outcome.dsn.len + 1);
        memcpy(dsn, outcome.dsn.ptr, outcome.dsn.len);
        dsn[0] = '4';
        outcome.dsn.ptr = dsn;
        is_soft = true;
    }
    enum delivery_status status = is_soft ? DELIVERY_DEFERRED : DELIVERY_BOUNCED;
    log_outcome(delivery, recipient, status, &outcome, connection_use(session));
    settle(delivery, recipient, status, &outcome, DSN_ACTION_NONE);
}

void report_passed(struct delivery *delivery, size_t recipient, struct str target)
{
    struct failure outcome = {
        .dsn = STR("2.0.0"),
        .text = STR(""), /* the queue knows where it goes, and believes nobody else */
        .relay = STR("none"),
        .remote_mta = STR(""),
        .smtp_reply = STR(""),
    };
    struct str rest = target, transport = str_cut(&rest, ":");
    autofree_buf struct buf address = { 0 };

    address_format_angle(delivery->job.envelope.recipients[recipient].address, &address);
    log_info(&delivery->transport->log, "%s: passing %.*s to transport=%.*s",
             delivery->job.queue_id.text, STR_ARGS(buf_str(&address)), STR_ARGS(transport));
    settle(delivery, recipient, DELIVERY_PASSED, &outcome, DSN_ACTION_NONE);
}

void report_undone(struct delivery *delivery, size_t recipient)
{
    static const struct failure outcome = {
        .dsn = STR_INIT("4.3.2"),
        .text = STR_INIT("the delivery was interrupted before it began"),
        .relay = STR_INIT("none"),
        .remote_mta = STR_INIT(""),
        .smtp_reply = STR_INIT(""),
    };

    settle(delivery, recipient, DELIVERY_UNDONE, &outcome, DSN_ACTION_NONE);
}

void report_misunderstanding(struct session *session)
{
    const struct delivery *delivery = session->delivery;
    const struct config *config = session->transport->config;
    struct channel *queue = job_queue(&delivery->job);
    autofree_buf struct buf content = { 0 };
    struct transcript_notice notice = {
        .mail_name = config->mail_name,
        .program = session->transport->is_lmtp ? "LMTP client" : "SMTP client",
        .is_client = true,
        .peer = session->relay,
        .recipient = config->error_notice_recipient,
    };

    if (!transcript_is_due(&session->transcript) || queue == NULL)
        return;
    transcript_format(&session->transcript, &notice, &content);
    wire_send_deliver_notice(
        queue, &(struct wire_deliver_notice){ .recipient = config->error_notice_recipient,
                                              .content = buf_str(&content) });
    transcript_clear(&session->transcript);
}

void report_done(struct delivery *delivery)
{
    struct wire_deliver_done message = {
        .job = delivery->job.number,
        .site = (uint8_t)delivery->site,
        .site_reason = delivery->site == SITE_FAILED && delivery->failure != NULL
                           ? delivery->failure->text
                           : STR(""),
    };

    ensure(delivery->open_count == 0);
    struct channel *queue = job_queue(&delivery->job);
    if (queue != NULL)
        wire_send_deliver_done(queue, &message);
}
