/* SPDX-License-Identifier: Apache-2.0 */
#include "parking.h"

#include "base/memory.h"
#include "gathering.h"
#include "queue.h"

enum {
    SHARE = 16,        /* a destination may have this part of the room that is left */
    ENOUGH_LEAST = 20, /* and this much in any case */
    CAPACITY_FIRST = 64,
};

static struct str key_of(const uint64_t *queue_id)
{
    return str_of((const char *)queue_id, sizeof *queue_id);
}

static size_t enough(const struct queue *queue)
{
    size_t limit = queue->settings->active_limit, used = active_count(queue);
    size_t share = used < limit ? (limit - used) / SHARE : 0;

    return share > ENOUGH_LEAST ? share : ENOUGH_LEAST;
}

static bool has_enough(const struct destination *destination)
{
    return destination->parking.count > 0 ||
           destination->small_waiting >= enough(destination->queue);
}

bool parking_is_wanted(const struct message *message)
{
    list_each (link, &message->attempts) {
        const struct attempt *attempt = list_entry(link, struct attempt, message_link);
        const struct destination *destination = attempt->destination;
        /* That it was flushed would be forgotten, which matters for defer_transports. */
        bool is_special = message->is_flushed && destination->transport->settings.is_deferred;
        if (attempt->lane != 0 || is_special || !has_enough(destination))
            return false;
    }
    return message->attempts_open > 0;
}

static void grow(struct parking *parking)
{
    size_t capacity = parking->capacity > 0 ? parking->capacity * 2 : CAPACITY_FIRST;
    uint64_t *ids = memory_new_array(capacity, sizeof *ids);

    for (size_t i = 0; i < parking->count; i++)
        ids[i] = parking->ids[(parking->first + i) % parking->capacity];
    memory_free(parking->ids);
    *parking = (struct parking){ .ids = ids, .count = parking->count, .capacity = capacity };
}

void parking_add(struct queue *queue, struct parking *parking, uint64_t queue_id)
{
    if (parking->count == parking->capacity)
        grow(parking);
    parking->ids[(parking->first + parking->count++) % parking->capacity] = queue_id;
    map_set(queue->scheduler.parked, key_of(&queue_id), parking);
}

bool parking_take_first(struct queue *queue, struct parking *parking, uint64_t *queue_id)
{
    *queue_id = parking->ids[parking->first];
    parking->first = (parking->first + 1) % parking->capacity;
    parking->count--;
    return map_remove(queue->scheduler.parked, key_of(queue_id)) != NULL;
}

void parking_put(struct message *message)
{
    struct queue *queue = message->queue;
    struct destination *destination =
        list_entry(message->attempts.next, struct attempt, message_link)->destination;

    parking_add(queue, &destination->parking, message->queue_id);
    gather_undo(message);
    content_drop(message);
    message_free(&message);
    destination_settle(destination);
}

bool parking_has(const struct queue *queue, uint64_t queue_id)
{
    return map_find(queue->scheduler.parked, key_of(&queue_id)) != NULL;
}

void parking_forget(struct queue *queue, uint64_t queue_id)
{
    map_remove(queue->scheduler.parked, key_of(&queue_id));
}

bool parking_is_short(const struct destination *destination)
{
    return destination->parking.count > 0 &&
           destination->small_waiting < enough(destination->queue) / 2;
}

bool parking_next(struct queue *queue, uint64_t *queue_id)
{
    struct list *shorts = &queue->scheduler.shorts;
    bool is_taken = false;

    while (!is_taken && !list_is_empty(shorts)) {
        struct destination *destination = list_entry(shorts->next, struct destination, short_link);
        is_taken = parking_take_first(queue, &destination->parking, queue_id);
        list_remove(&destination->short_link); /* to the end, where it is short still */
        destination_settle(destination);
    }
    return is_taken;
}

void parking_clear(struct parking *parking)
{
    memory_free(parking->ids);
    *parking = (struct parking){ 0 };
}
