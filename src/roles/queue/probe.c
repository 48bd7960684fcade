/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "mail/log_line.h"
#include "own_mail.h"
#include "queue.h"
#include "service/verify.h"
#include "wire/wire.h"

/* What a probe would be as a message: MAIL FROM tells servers a size. */
enum { PROBE_SIZE_BYTES = 256, ADDRESS_LENGTH_MAX = 2048 };

static void send_result(struct queue *queue, uint64_t probe, enum verify_status status,
                        struct str address, struct str reason)
{
    wire_send_verify_result(
        queue->probes.channel,
        &(struct wire_verify_result){
            .probe = probe, .status = (uint8_t)status, .address = address, .reason = reason });
}

static void send_done(struct queue *queue, uint64_t probe)
{
    wire_send_verify_done(queue->probes.channel, &(struct wire_verify_done){ .probe = probe });
}

static struct message *make(struct queue *queue, uint64_t queue_id,
                            const struct wire_verify_probe *asked)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf encoded = { 0 }, content = { 0 };
    struct queue_id_text id = queue_id_format(queue_id, queue->settings->has_long_ids);
    struct message *message;
    struct error error = { 0 };
    struct envelope envelope = {
        .sender = asked->sender,
        .flags = ENVELOPE_LOCAL,
        .arrival_us = clock_wall_us(),
        .size_bytes = PROBE_SIZE_BYTES,
    };

    envelope_add_recipient(&arena, &envelope, &(struct recipient){ .address = asked->address });
    buf_append(&content, STR("\r\n"));
    if (!own_mail_clean_up(queue, &id, &arena, &envelope, &content) ||
        envelope.recipient_count == 0)
        return NULL;
    envelope.flags |= ENVELOPE_PROBE;
    envelope_encode(&envelope, &encoded);
    if (!message_new(queue, queue_id, buf_str(&encoded), &message, &error))
        return NULL;
    message->probe = asked->probe;
    return message;
}

/* Postfix: a quarter of the active messages, at most. */
static bool is_overloaded(const struct queue *queue)
{
    size_t limit = (size_t)queue->settings->config->address_verify_pending_request_limit;

    return queue->probes.open_count >= limit || !active_has_room(queue);
}

static bool on_probe(struct queue *queue, struct str payload)
{
    struct wire_verify_probe asked;
    struct message *message = NULL;
    uint64_t queue_id;

    if (!wire_decode_verify_probe(queue->probes.channel, payload, &asked) ||
        asked.address.len == 0 || asked.address.len > ADDRESS_LENGTH_MAX ||
        asked.sender.len > ADDRESS_LENGTH_MAX)
        return false;
    if (is_overloaded(queue)) {
        send_result(queue, asked.probe, VERIFY_DEFER, asked.address,
                    STR("Too many address verification requests"));
    } else if (lease_take(queue, 1, &queue_id)) {
        message = make(queue, queue_id, &asked);
        if (message == NULL)
            send_result(queue, asked.probe, VERIFY_DEFER, asked.address,
                        STR("Address lookup problem"));
    }
    if (message == NULL) {
        send_done(queue, asked.probe);
        return true;
    }
    queue->probes.open_count++;
    active_take_now(queue, message); /* it is not in the store, so it cannot wait there */
    scheduler_run(queue);
    return true;
}

static bool probes_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    (void)channel;
    return number == WIRE_verify_probe && on_probe(owner, payload);
}

static void probes_closed(void *owner, struct channel *channel, const char *reason)
{
    struct queue *queue = owner;

    (void)reason; /* the master says why, and sends a channel to its successor */
    if (queue->probes.channel == channel)
        channel_free(&queue->probes.channel);
}

static const struct channel_events probes_events = { probes_received, probes_closed };

bool probes_attach(struct queue *queue, int fd, struct error *error)
{
    struct channel *channel = channel_new(queue->loop, fd, &probes_events, queue, error);

    if (channel == NULL)
        return error_context(error, "channel to verify");
    probes_clear(queue);
    queue->probes.channel = channel;
    return true;
}

void probes_clear(struct queue *queue)
{
    if (queue->probes.channel != NULL)
        channel_free(&queue->probes.channel);
}

static bool status_of(const struct message *message, size_t recipient, enum verify_status *status)
{
    switch ((enum verdict)message->verdicts[recipient]) {
    case VERDICT_SENT:
        *status = VERIFY_OK;
        return true;
    case VERDICT_DEFERRED:
        *status = VERIFY_DEFER;
        return true;
    case VERDICT_BOUNCED:
        *status = VERIFY_BOUNCE;
        return true;
    case VERDICT_NONE:
    case VERDICT_UNDONE:
        return false; /* nothing was learned */
    }
    unreachable();
}

void probe_finish(struct message *message)
{
    struct queue *queue = message->queue;
    struct buf *line = &queue->scratch;
    enum verify_status status;

    for (size_t i = 0; queue->probes.channel != NULL && i < message->envelope.recipient_count; i++)
        if (status_of(message, i, &status))
            send_result(queue, message->probe, status, message->envelope.recipients[i].address,
                        message->envelope.recipients[i].diagnostic);
    if (queue->probes.channel != NULL)
        send_done(queue, message->probe);
    buf_clear(line);
    log_line_removed(message_id_text(message), line);
    log_write_text(&queue->settings->speakers[SPEAKER_QMGR], SEVERITY_INFO, buf_str(line));
    queue->probes.open_count--;
    active_release(message);
}
