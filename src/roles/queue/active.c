/* SPDX-License-Identifier: Apache-2.0 */
#include "active.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "gathering.h"
#include "mail/log_line.h"
#include "queue.h"

static struct str key_of(const uint64_t *queue_id)
{
    return str_of((const char *)queue_id, sizeof *queue_id);
}

void active_init(struct queue *queue)
{
    queue->active.messages = map_new();
}

void active_clear(struct queue *queue)
{
    struct map_cursor cursor = { 0 };

    while (map_next(queue->active.messages, &cursor)) {
        struct message *message = cursor.value;
        content_drop(message);
        message_free(&message);
    }
    map_free(&queue->active.messages);
    budget_clear(&queue->active.budget);
}

size_t active_count(const struct queue *queue)
{
    return map_count(queue->active.messages);
}

bool active_has_room(const struct queue *queue)
{
    return map_count(queue->active.messages) + requeue_count(queue) <
               queue->settings->active_limit &&
           !queue->scheduler.is_draining;
}

struct message *active_find(const struct queue *queue, uint64_t queue_id)
{
    return map_find(queue->active.messages, key_of(&queue_id));
}

static void begin(struct queue *queue, struct message *message)
{
    struct buf *line = &queue->scratch;

    ensure(map_set(queue->active.messages, key_of(&message->queue_id), message) == NULL);
    queue->active.taken_total++;
    budget_take(message);
    message->taken_up_us = clock_wall_us();
    buf_clear(line);
    log_line_active(message_id_text(message), message->envelope.sender,
                    message->envelope.size_bytes, envelope_waiting_count(&message->envelope), line);
    log_write_text(&queue->settings->speakers[SPEAKER_QMGR], SEVERITY_INFO, buf_str(line));
    scheduler_enqueue(message);
    if (message->attempts_open == 0)
        completion_progress(message); /* it is to expire, or all was done before a crash */
}

/* What is to expire is not attempted. */
static bool is_to_expire(const struct message *message)
{
    return (message->envelope.flags & ENVELOPE_FORCE_EXPIRED) != 0;
}

void active_take_now(struct queue *queue, struct message *message)
{
    if (!is_to_expire(message))
        gather_attempts(message);
    begin(queue, message);
}

void active_take(struct queue *queue, struct message *message)
{
    if (is_to_expire(message)) {
        begin(queue, message);
        return;
    }
    if (!budget_has_room(message)) {
        budget_wait(message);
        return;
    }
    gather_attempts(message);
    if (parking_is_wanted(message))
        parking_put(message);
    else
        begin(queue, message);
}

void active_release(struct message *message)
{
    struct queue *queue = message->queue;

    ensure(map_remove(queue->active.messages, key_of(&message->queue_id)) == message);
    budget_release(message);
    content_drop(message);
    message_free(&message);
    backlog_room(queue);
}
