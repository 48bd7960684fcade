/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "mail/address.h"
#include "mail/status_code.h"
#include "worker.h"

static struct str relay_of(const struct delivery *delivery)
{
    return delivery->agent != NULL ? delivery->agent->name : STR("none");
}

static void send_result(struct delivery *delivery, size_t recipient, enum delivery_status status,
                        struct str dsn, struct str text, enum dsn_action action)
{
    struct channel *queue = job_queue(&delivery->job);

    ensure(!delivery->are_settled[recipient]);
    delivery->are_settled[recipient] = true;
    if (queue != NULL)
        wire_send_deliver_result(queue, &(struct wire_deliver_result){
                                            .job = delivery->job.number,
                                            .recipient = (uint32_t)recipient,
                                            .status = (uint8_t)status,
                                            .dsn = dsn,
                                            .diagnostic = text,
                                            .relay = relay_of(delivery),
                                            .remote_mta = STR(""),
                                            .smtp_reply = STR(""),
                                            .action = (uint8_t)action,
                                        });
}

static void filter_outcome(struct delivery *delivery, struct outcome *outcome)
{
    struct str status = str_from(outcome->dsn), text = str_from(outcome->text);

    status_filter_apply(delivery->agent->status_filter, &delivery->job.arena, &delivery->agent->log,
                        &status, &text);
    if (text.ptr != outcome->text)
        outcome_set(outcome, arena_text(&delivery->job.arena, status), "%.*s", STR_ARGS(text));
}

void report_adjust(struct delivery *delivery, struct outcome *outcome)
{
    const struct agent *agent = delivery->agent;

    if (agent != NULL)
        filter_outcome(delivery, outcome);
    if (outcome->dsn[0] == '5' && agent != NULL && agent->config != NULL &&
        agent->config->soft_bounce && !delivery_is_probe(delivery))
        outcome->dsn[0] = '4';
}

static enum delivery_status status_of(const struct outcome *outcome)
{
    return outcome_is_sent(outcome)   ? DELIVERY_SENT
           : outcome_is_soft(outcome) ? DELIVERY_DEFERRED
                                      : DELIVERY_BOUNCED;
}

void report_line(struct delivery *delivery, size_t recipient, struct str address,
                 const struct outcome *outcome)
{
    struct worker *worker = delivery->worker;
    const struct agent *agent = delivery->agent;
    struct str original = delivery_original(delivery, recipient);
    struct log_delivery line = {
        .queue_id = str_from(delivery->job.queue_id.text),
        .recipient = address,
        .original_recipient = str_equal(original, address) ? STR("") : original,
        .relay = relay_of(delivery),
        .times = delivery->job.times,
        .delay_decimals =
            agent != NULL ? agent->config->delay_logging_resolution_limit : worker->delay_decimals,
        .dsn = str_from(outcome->dsn),
        .status = delivery_status_word(status_of(outcome), delivery_is_probe(delivery)),
        .diagnostic = str_from(outcome->text),
    };
    struct buf *text = &worker->scratch;

    line.times.done_us = clock_wall_us();
    buf_clear(text);
    log_line_delivery(&line, text);
    log_write_text(agent != NULL ? &agent->log : &worker->log, SEVERITY_INFO, buf_str(text));
}

/* Inside the queue the text must be of one line. */
static struct str one_line(struct arena *arena, const char *text)
{
    struct str source = str_from(text);
    char *copy = arena_new(arena, source.len + 1);

    for (size_t i = 0; i < source.len; i++)
        copy[i] =
            (unsigned char)source.ptr[i] < 0x20 || source.ptr[i] == 0x7f ? '?' : source.ptr[i];
    return str_of(copy, source.len);
}

void report_settle(struct delivery *delivery, size_t recipient, const struct outcome *outcome,
                   enum dsn_action action)
{
    send_result(delivery, recipient, status_of(outcome), str_from(outcome->dsn),
                one_line(&delivery->job.arena, outcome->text), action);
}

void report(struct delivery *delivery, size_t recipient, const struct outcome *outcome)
{
    struct outcome softened = *outcome;

    report_adjust(delivery, &softened);
    report_line(delivery, recipient, delivery->job.envelope.recipients[recipient].address,
                &softened);
    report_settle(delivery, recipient, &softened, delivery->success);
}

void report_passed(struct delivery *delivery, size_t recipient, struct str target)
{
    autofree_buf struct buf address = { 0 };
    struct str rest = target;
    struct str transport = str_cut(&rest, ":");

    address_format_angle(delivery->job.envelope.recipients[recipient].address, &address);
    log_info(&delivery->agent->log, "%s: passing %.*s to transport=%.*s",
             delivery->job.queue_id.text, STR_ARGS(buf_str(&address)), STR_ARGS(transport));
    send_result(delivery, recipient, DELIVERY_PASSED, STR("2.0.0"), target, DSN_ACTION_NONE);
}

void report_done(struct delivery *delivery)
{
    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++)
        if (!delivery->are_settled[i])
            send_result(delivery, i, DELIVERY_UNDONE, STR("4.3.2"),
                        STR("the delivery was interrupted"), DSN_ACTION_NONE);
    struct channel *queue = job_queue(&delivery->job);
    if (queue != NULL)
        wire_send_deliver_done(queue, &(struct wire_deliver_done){ .job = delivery->job.number,
                                                                   .site = SITE_UNTOUCHED,
                                                                   .site_reason = STR("") });
}
