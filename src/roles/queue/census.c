/* SPDX-License-Identifier: Apache-2.0 */
#include "census.h"

#include "base/clock.h"
#include "base/memory.h"
#include "gathering.h"
#include "queue.h"
#include "store/queue_tool.h"

enum {
    PORTION = 64,
    FRESH_MS = 5000,   /* one that is newer is good enough, */
    FRESH_FACTOR = 10, /* as is one that is no older than so many times of making it */
    WAIT_MS = 20,
};

/* One count in the making. */
struct counting {
    struct queue *queue;
    struct map *rows;
    uint64_t others;
    struct buf key;
};

static void rows_free(struct map **rows)
{
    struct map_cursor cursor = { 0 };

    while (*rows != NULL && map_next(*rows, &cursor))
        memory_free(cursor.value);
    map_free(rows);
}

static struct census_row *row_new(struct counting *counting, const struct place *place)
{
    struct str key = buf_str(&counting->key);
    struct str transport = place->transport->name;
    struct census_row *row = memory_new(sizeof *row + key.len + transport.len + place->nexthop.len);
    char *at = (char *)(row + 1);

    memcpy(at, key.ptr, key.len);
    row->key = str_of(at, key.len);
    memcpy(at += key.len, transport.ptr, transport.len);
    row->transport = str_of(at, transport.len);
    memcpy(at += transport.len, place->nexthop.ptr, place->nexthop.len);
    row->nexthop = str_of(at, place->nexthop.len);
    (void)map_set(counting->rows, row->key, row);
    return row;
}

static void count_recipient(struct counting *counting, const struct queue_message *message,
                            const struct recipient *recipient)
{
    autoclear_arena struct arena scratch = { 0 };
    struct place place;
    struct error error;

    if (!place_find(counting->queue, &scratch, &message->envelope, recipient->address, &place,
                    &error)) {
        counting->others++;
        return;
    }
    buf_clear(&counting->key);
    destination_key(place.transport, place.nexthop, place.address, &counting->key);
    struct census_row *row = map_find(counting->rows, buf_str(&counting->key));
    if (row == NULL && map_count(counting->rows) < CENSUS_DESTINATIONS_MAX)
        row = row_new(counting, &place);
    if (row == NULL) {
        counting->others++;
        return;
    }
    row->held += message->queue == QUEUE_HOLD;
    row->incoming += message->queue == QUEUE_INCOMING || message->queue == QUEUE_MAILDROP;
    row->deferred += message->queue == QUEUE_DEFERRED;
    if (row->oldest_us == 0 || message->envelope.arrival_us < row->oldest_us)
        row->oldest_us = message->envelope.arrival_us;
}

static void count_message(struct counting *counting, struct queue_message *message,
                          uint64_t queue_id)
{
    struct error error;

    if (active_find(counting->queue, queue_id) != NULL ||
        queue_message_read(counting->queue->store, queue_id, message, &error) != STORE_OK)
        return;
    for (size_t i = 0; i < message->envelope.recipient_count; i++)
        if (message->envelope.recipients[i].state == RECIPIENT_WAITING)
            count_recipient(counting, message, &message->envelope.recipients[i]);
}

/* False: cancelled. */
static bool count_all(struct counting *counting)
{
    struct queue_selection selection = { .is_all = true };
    struct queue_message message = { 0 };
    struct queue_walk walk;
    struct fiber *self = counting->queue->census.fiber;
    uint64_t queue_id;
    size_t seen = 0;

    queue_walk_begin(&walk, &selection);
    while (!fiber_is_cancelled(self) && queue_walk_next(&walk, counting->queue->store, &queue_id)) {
        count_message(counting, &message, queue_id);
        if (++seen % PORTION == 0)
            fiber_yield(counting->queue->loop);
    }
    queue_message_clear(&message);
    return !fiber_is_cancelled(self);
}

static void census_fiber(void *argument)
{
    struct queue *queue = argument;
    struct census *census = &queue->census;
    struct counting counting = { .queue = queue, .rows = map_new() };
    int64_t start_ms = clock_monotonic_ms();

    if (count_all(&counting)) {
        rows_free(&census->rows);
        census->rows = counting.rows;
        census->others = counting.others;
        census->made_ms = clock_wall_ms();
        census->took_ms = clock_monotonic_ms() - start_ms;
    } else {
        rows_free(&counting.rows);
    }
    buf_free(&counting.key);
    census->fiber = NULL;
}

static bool is_fresh(const struct census *census)
{
    int64_t age_ms = clock_wall_ms() - census->made_ms;
    int64_t good_ms = census->took_ms * FRESH_FACTOR;

    return census->rows != NULL && age_ms >= 0 &&
           age_ms < (good_ms > FRESH_MS ? good_ms : FRESH_MS);
}

void census_want(struct queue *queue)
{
    if (queue->census.fiber == NULL && !queue->scheduler.is_draining && !is_fresh(&queue->census))
        queue->census.fiber = fiber_start(queue->loop, "census", census_fiber, queue);
}

bool census_wait(struct queue *queue)
{
    const struct census *census = &queue->census;

    /* One that began before may have missed what is asked about: take the next. */
    int64_t asked_ms = clock_wall_ms();
    while (census->rows == NULL || census->made_ms - census->took_ms < asked_ms) {
        if (census->fiber == NULL && !queue->scheduler.is_draining)
            queue->census.fiber = fiber_start(queue->loop, "census", census_fiber, queue);
        if (queue->scheduler.is_draining || fiber_sleep(queue->loop, WAIT_MS) == WAKE_CANCELLED)
            return false;
    }
    return true;
}

void census_drain(struct queue *queue)
{
    if (queue->census.fiber != NULL)
        fiber_cancel(queue->census.fiber);
}

void census_clear(struct queue *queue)
{
    rows_free(&queue->census.rows);
}
