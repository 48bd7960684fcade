/* SPDX-License-Identifier: Apache-2.0 */
/* The requests that only look: list, show. */
#include "tool_client.h"

#include <sysexits.h>

enum store_outcome tool_look_at(struct queue *queue, uint64_t queue_id,
                                struct queue_message *message, struct error *error)
{
    const struct message *active = active_find(queue, queue_id);

    if (active == NULL) {
        enum store_outcome outcome = queue_message_read(queue->store, queue_id, message, error);
        if (outcome != STORE_OK && outcome != STORE_ABSENT)
            log_error(&queue->settings->speakers[SPEAKER_QMGR], "%s: %s",
                      queue_id_format(queue_id, queue->settings->has_long_ids).text,
                      error->message);
        return outcome;
    }
    buf_clear(&message->bytes);
    envelope_encode(&active->envelope, &message->bytes);
    message->queue_id = queue_id;
    message->queue = QUEUE_ACTIVE;
    message->due_ms = active->due_ms;
    return STORE_OK;
}

/* Where a message has so many recipients that they pass a frame, the first of them are shown. */
static void fit_into_frame(struct queue_message *message)
{
    enum { ROOM_BYTES = CHANNEL_FRAME_MAX - 1024 };

    while (message->bytes.len > ROOM_BYTES) {
        struct arena arena = { 0 };
        struct buf shorter = { 0 };
        struct envelope envelope;
        struct error error;
        if (!envelope_decode(&arena, buf_str(&message->bytes), &envelope, &error))
            envelope = (struct envelope){ 0 };
        envelope.recipient_count /= 2;
        envelope_encode(&envelope, &shorter);
        arena_clear(&arena);
        buf_free(&message->bytes);
        message->bytes = shorter;
    }
}

void tool_client_message(struct tool_client *client, struct queue_message *message)
{
    fit_into_frame(message);
    wire_send_tool_message(client->channel,
                           &(struct wire_tool_message){ .queue_id = message->queue_id,
                                                        .queue = (uint8_t)message->queue,
                                                        .next_attempt_ms = message->due_ms,
                                                        .envelope = buf_str(&message->bytes) });
}

/* ---- list, show ---- */

/* One that is listed; whether it was sent whole. */
static bool list_one(struct tool_client *client, const struct queue_selection *selection,
                     uint64_t queue_id, struct queue_message *message)
{
    struct error error;
    enum store_outcome outcome = tool_look_at(client->queue, queue_id, message, &error);

    if (outcome == STORE_DAMAGED)
        wire_send_tool_damaged(client->channel, &(struct wire_tool_damaged){ queue_id });
    if (outcome != STORE_OK || !queue_selection_has(selection, message->queue))
        return false;
    tool_client_message(client, message);
    return true;
}

void tool_do_list(struct tool_client *client, const struct wire_tool_list *request)
{
    struct queue_selection selection = { .is_all = true };
    struct queue_tool_counts counts = { 0 };
    struct queue_message message = { 0 };
    struct queue_walk walk;
    struct error error;
    uint64_t queue_id;
    size_t seen = 0;
    bool goes_on = true;

    if (!queue_names_parse(request->queue, &selection.queues, &error)) {
        tool_client_done(client, EX_DATAERR, &counts, str_from(error.message));
        return;
    }
    queue_walk_begin(&walk, &selection);
    while (goes_on && queue_walk_next(&walk, client->queue->store, &queue_id)) {
        counts.done += list_one(client, &selection, queue_id, &message);
        if (++seen % TOOL_PORTION == 0) {
            fiber_yield(client->queue->loop);
            goes_on = tool_client_has_room(client);
        }
    }
    queue_message_clear(&message);
    if (goes_on)
        tool_client_done(client, EX_OK, &counts, STR(""));
}

/* The bytes are the store's until the next read: they are sent before anything is waited for. */
static bool send_content(void *argument, struct str bytes)
{
    struct tool_client *client = argument;

    while (bytes.len > 0) {
        struct str part = str_take(bytes, CHANNEL_FRAME_MAX / 2);
        wire_send_tool_content(client->channel, &(struct wire_tool_content){ .content = part });
        bytes = str_skip(bytes, part.len);
    }
    return tool_client_has_room(client);
}

void tool_do_show(struct tool_client *client, const struct wire_tool_show *request)
{
    static const struct queue_tool_counts none, one = { .done = 1 };
    struct queue_message message = { 0 };
    struct error error = { 0 }, content_error = { 0 };
    enum store_outcome outcome = STORE_ABSENT;
    uint64_t queue_id;

    if (queue_id_parse(request->id, &queue_id))
        outcome = tool_look_at(client->queue, queue_id, &message, &error);
    if (outcome == STORE_DAMAGED)
        queue_message_blank(&message);
    if (outcome == STORE_OK || outcome == STORE_DAMAGED) {
        tool_client_message(client, &message);
        enum store_outcome content = store_read_content(client->queue->store, queue_id,
                                                        send_content, client, &content_error);
        if (outcome == STORE_OK && content != STORE_OK && content != STORE_ABSENT) {
            outcome = content;
            error = content_error;
        }
    }
    if (outcome == STORE_OK)
        tool_client_done(client, EX_OK, &one, STR(""));
    else if (outcome == STORE_ABSENT)
        tool_client_done(client, EX_NOINPUT, &none, STR("no such message in the queue"));
    else
        tool_client_done(client, EX_DATAERR, &one, str_from(error.message));
    queue_message_clear(&message);
}
