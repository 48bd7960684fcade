/* SPDX-License-Identifier: Apache-2.0 */
#include "forward.h"

#include "base/clock.h"
#include "base/file.h"
#include "mail/address.h"
#include "mail/date.h"
#include "mail/header.h"
#include "report.h"
#include "worker.h"

enum { DEADLINE_MS = 300 * 1000 };

void forwards_init(struct forwards *forwards, struct delivery *delivery, size_t recipient)
{
    *forwards = (struct forwards){ .delivery = delivery, .recipient = recipient };
    forwards->last = &forwards->first;
}

static struct forward *find(struct forwards *forwards, struct str sender, struct str delivered)
{
    struct arena *arena = &forwards->delivery->arena;

    for (struct forward *each = forwards->first; each != NULL; each = each->next)
        if (str_equal(each->sender, sender) && str_equal(each->delivered, delivered))
            return each;
    struct forward *made = arena_new(arena, sizeof *made);
    made->sender = sender;
    made->delivered = delivered;
    *forwards->last = made;
    forwards->last = &made->next;
    return made;
}

void forwards_add(struct forwards *forwards, struct str sender, struct str delivered,
                  struct str address)
{
    struct delivery *delivery = forwards->delivery;
    const struct recipient *to = &delivery->envelope.recipients[forwards->recipient];
    struct forward *forward = find(forwards, sender, delivered);
    struct str original = delivery_original(delivery, forwards->recipient);
    struct recipient recipient = { .address = address };

    /* A list that has an owner starts afresh (RFC 3461, 5.2.7.3). */
    if (str_equal(sender, delivery->envelope.sender)) {
        recipient.original_recipient = str_equal(original, address) ? STR("") : original;
        recipient.dsn_orcpt = to->dsn_orcpt;
        recipient.dsn_notify = to->dsn_notify & (uint8_t)~DSN_NOTIFY_SUCCESS;
    }
    envelope_add_recipient(&delivery->arena, &forward->envelope, &recipient);
    forwards->address_count++;
}

static void format_content(const struct forward *forward, const struct delivery *delivery,
                           const struct queue_id_text *id, struct buf *out)
{
    const struct config *config = delivery->agent->config;

    buf_printf(out, "Received: by %.*s (%.*s)\r\n\tid %s; ", STR_ARGS(config->myhostname),
               STR_ARGS(config->mail_name), id->text);
    date_format_mail(clock_wall_ms() / 1000, out);
    buf_append(out, STR("\r\n"));
    if (delivery->agent->delivered_for & DELIVERED_FOR_FORWARD) {
        buf_append(out, STR("Delivered-To: "));
        address_format(forward->delivered, out);
        buf_append(out, STR("\r\n"));
    }
    buf_append(out, delivery->content);
}

static void format_envelope(struct forward *forward, const struct delivery *delivery,
                            struct str content, struct buf *out)
{
    const struct envelope *old = &delivery->envelope;
    struct envelope envelope = {
        .sender = forward->sender,
        .flags = old->flags & (ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8 | ENVELOPE_LOCAL |
                               ENVELOPE_RET_FULL | ENVELOPE_RET_HEADERS),
        .arrival_us = clock_wall_us(),
        .size_bytes = content.len,
        .content_bytes = content.len,
        .dsn_envid = str_equal(forward->sender, old->sender) ? old->dsn_envid : STR(""),
        .client_name = old->client_name,
        .client_address = old->client_address,
        .helo_name = old->helo_name,
        .protocol = old->protocol,
        .sasl_username = old->sasl_username,
        .recipients = forward->envelope.recipients,
        .recipient_count = forward->envelope.recipient_count,
    };

    for (size_t i = 0; i < content.len; i++)
        envelope.size_bytes -= content.ptr[i] == '\r';
    envelope_encode(&envelope, out);
}

static void log_message_id(const struct delivery *delivery, const struct queue_id_text *id)
{
    struct header_summary summary;
    autofree_buf struct buf line = { 0 };

    header_summarise(delivery->content, &summary);
    log_line_message_id(str_from(id->text), summary.message_id, &line);
    log_write_text(&delivery->agent->cleanup, SEVERITY_INFO, buf_str(&line));
}

static bool submit(struct forward *forward, struct delivery *delivery, uint64_t queue_id,
                   const struct queue_id_text *id)
{
    struct worker *worker = delivery->worker;
    int64_t deadline_ms = loop_now_ms(worker->loop) + DEADLINE_MS;
    struct submission_message message = { 0 };
    autofree_buf struct buf content = { 0 }, envelope = { 0 };

    format_content(forward, delivery, id, &content);
    format_envelope(forward, delivery, buf_str(&content), &envelope);
    log_message_id(delivery, id);
    submission_begin(worker->submission, queue_id, &message);
    struct str rest = buf_str(&content);
    while (rest.len > SUBMISSION_INLINE_MAX) {
        if (!submission_send(&message, str_take(rest, SUBMISSION_CHUNK_BYTES), deadline_ms)) {
            submission_abort(&message);
            return false;
        }
        rest = str_skip(rest, SUBMISSION_CHUNK_BYTES);
    }
    return submission_finish(&message, buf_str(&envelope), rest, deadline_ms) ==
           SUBMISSION_ACCEPTED;
}

bool forwards_finish(struct forwards *forwards, struct outcome *outcome)
{
    struct delivery *delivery = forwards->delivery;
    struct worker *worker = delivery->worker;

    for (struct forward *each = forwards->first; each != NULL; each = each->next) {
        uint64_t queue_id;
        if (!submission_take_id(worker->submission, loop_now_ms(worker->loop) + DEADLINE_MS,
                                &queue_id)) {
            outcome_set(outcome, "4.3.0", "unable to forward message");
            return false;
        }
        struct queue_id_text id = queue_id_format(queue_id, worker->has_long_queue_ids);
        if (!submit(each, delivery, queue_id, &id)) {
            outcome_set(outcome, "4.3.0", "unable to forward message");
            return false;
        }
        outcome_set(outcome, "2.0.0", "forwarded as %s", id.text);
        report_line(delivery, forwards->recipient,
                    delivery->envelope.recipients[forwards->recipient].address, outcome);
    }
    return true;
}
