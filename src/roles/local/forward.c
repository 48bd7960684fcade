/* SPDX-License-Identifier: Apache-2.0 */
#include "forward.h"

#include "base/clock.h"
#include "base/file.h"
#include "mail/address.h"
#include "mail/date.h"
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
    struct arena *arena = &forwards->delivery->job.arena;

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
    const struct recipient *to = &delivery->job.envelope.recipients[forwards->recipient];
    struct forward *forward = find(forwards, sender, delivered);
    struct str original = delivery_original(delivery, forwards->recipient);
    struct recipient recipient = { .address = address };

    /* A list that has an owner starts afresh (RFC 3461, 5.2.7.3). */
    if (str_equal(sender, delivery->job.envelope.sender)) {
        recipient.original_recipient = str_equal(original, address) ? STR("") : original;
        recipient.dsn_orcpt = to->dsn_orcpt;
        recipient.dsn_notify = envelope_notify_without_success(to->dsn_notify);
    }
    envelope_add_recipient(&delivery->job.arena, &forward->envelope, &recipient);
    forwards->address_count++;
}

static void format_content(const struct forward *forward, const struct delivery *delivery,
                           const struct queue_id_text *id, struct buf *out)
{
    const struct config *config = delivery->agent->config;
    autoclear_arena struct arena scratch = { 0 };

    buf_printf(out, "Received: by %.*s (%.*s)\r\n\tid %s; ", STR_ARGS(config->myhostname),
               STR_ARGS(config->mail_name), id->text);
    date_format_mail(clock_wall_ms() / 1000, out);
    buf_append(out, STR("\r\n"));
    if (delivery->agent->delivered_for & DELIVERED_FOR_FORWARD) {
        buf_append(out, STR("Delivered-To: "));
        address_format(address_fold(&scratch, forward->delivered), out); /* as Postfix has it */
        buf_append(out, STR("\r\n"));
    }
    buf_append(out, delivery->job.content);
}

/* What the new message keeps of the old one's envelope. */
static struct envelope envelope_of(const struct forward *forward, const struct delivery *delivery)
{
    const struct envelope *old = &delivery->job.envelope;
    struct envelope envelope = forward->envelope; /* with its recipients */

    envelope.sender = forward->sender;
    envelope.flags = old->flags & (ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8 | ENVELOPE_LOCAL |
                                   ENVELOPE_RET_FULL | ENVELOPE_RET_HEADERS);
    envelope.arrival_us = clock_wall_us();
    envelope.dsn_envid = str_equal(forward->sender, old->sender) ? old->dsn_envid : STR("");
    envelope.client_name = old->client_name;
    envelope.client_address = old->client_address;
    envelope.helo_name = old->helo_name;
    envelope.protocol = old->protocol;
    envelope.sasl_username = old->sasl_username;
    return envelope;
}

static bool make(const struct forward *forward, struct delivery *delivery,
                 const struct queue_id_text *id, struct buf *envelope_bytes, struct buf *content)
{
    autofree_buf struct buf raw = { 0 };
    struct envelope envelope = envelope_of(forward, delivery);
    struct cleanup_message message = {
        .arena = &delivery->job.arena,
        .envelope = &envelope,
        .queue_id = str_from(id->text),
        .parts = CLEANUP_INTERNAL,
        .origin = envelope.flags & ENVELOPE_LOCAL ? HEADERS_LOCAL : HEADERS_REMOTE,
    };

    format_content(forward, delivery, id, &raw);
    if (cleanup_run(delivery->agent->cleanup, &message, buf_str(&raw), content) != CLEANUP_DONE)
        return false;
    envelope.content_bytes = envelope.size_bytes = content->len;
    for (size_t i = 0; i < content->len; i++)
        envelope.size_bytes -= content->ptr[i] == '\r';
    envelope_encode(&envelope, envelope_bytes);
    return true;
}

static bool submit(const struct forward *forward, struct delivery *delivery, uint64_t queue_id,
                   const struct queue_id_text *id)
{
    struct worker *worker = delivery->worker;
    int64_t deadline_ms = loop_now_ms(worker->loop) + DEADLINE_MS;
    struct submission_message message = { 0 };
    autofree_buf struct buf content = { 0 }, envelope = { 0 };

    if (!make(forward, delivery, id, &envelope, &content))
        return false;
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
        struct queue_id_text id =
            queue_id_format(queue_id, worker->jobs.options.has_long_queue_ids);
        if (!submit(each, delivery, queue_id, &id)) {
            outcome_set(outcome, "4.3.0", "unable to forward message");
            return false;
        }
        outcome_set(outcome, "2.0.0", "forwarded as %s", id.text);
        report_line(delivery, forwards->recipient,
                    delivery->job.envelope.recipients[forwards->recipient].address, outcome);
    }
    return true;
}
