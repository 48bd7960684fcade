/* SPDX-License-Identifier: Apache-2.0 */
#include "budget.h"

#include "base/ensure.h"
#include "queue.h"

static size_t kind_of(const struct message *message)
{
    return lane_for(message->envelope.recipient_count,
                    message->queue->settings->recipient_minimum + 1);
}

static bool fits(const struct queue *queue, size_t kind)
{
    return kind == 0 || queue->active.budget.used[kind] < queue->settings->recipient_limit;
}

bool budget_has_room(const struct message *message)
{
    return fits(message->queue, kind_of(message));
}

void budget_take(struct message *message)
{
    message->budget_kind = (uint8_t)kind_of(message); /* a reload may change what it would be */
    message->queue->active.budget.used[message->budget_kind] += message->envelope.recipient_count;
}

void budget_release(const struct message *message)
{
    message->queue->active.budget.used[message->budget_kind] -= message->envelope.recipient_count;
}

void budget_wait(struct message *message)
{
    struct queue *queue = message->queue;

    parking_add(queue, &queue->active.budget.waiting[kind_of(message)], message->queue_id);
    content_drop(message);
    message_free(&message);
}

/* The kind that the next message is of; LANE_COUNT: none. */
static size_t next_kind(const struct queue *queue)
{
    size_t kind = 0;

    while (kind < LANE_COUNT &&
           (queue->active.budget.waiting[kind].count == 0 || !fits(queue, kind)))
        kind++;
    return kind;
}

bool budget_has_next(const struct queue *queue)
{
    return next_kind(queue) < LANE_COUNT;
}

bool budget_next(struct queue *queue, uint64_t *queue_id)
{
    size_t kind = next_kind(queue);

    ensure(kind < LANE_COUNT);
    return parking_take_first(queue, &queue->active.budget.waiting[kind], queue_id);
}

void budget_clear(struct budget *budget)
{
    for (size_t i = 0; i < LANE_COUNT; i++)
        parking_clear(&budget->waiting[i]);
}
