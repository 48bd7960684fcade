/* SPDX-License-Identifier: Apache-2.0 */
#include "destination.h"

#include "advice.h"
#include "base/memory.h"
#include "mail/address.h"
#include "queue.h"

#include <stdio.h>

enum {
    REASON_BYTES_MAX = 512,
    RESERVE_SHARE = 10, /* this part of a transport's process limit is kept, see has_spare_room */
};

struct transport *transport_find(struct queue *queue, struct str name)
{
    struct transport *transport = map_find(queue->scheduler.transports, name);

    if (transport != NULL)
        return transport;
    transport = memory_new(sizeof *transport);
    transport->name = arena_copy(&transport->arena, name);
    transport->settings = settings_transport(queue->settings, transport->name, &transport->arena);
    transport->queue = queue;
    list_init(&transport->link);
    lanes_init(&transport->ready);
    list_init(&transport->held);
    map_set(queue->scheduler.transports, transport->name, transport);
    advise_of_feedback_rules(transport);
    return transport;
}

void transport_free(struct transport **transport)
{
    list_remove(&(*transport)->link);
    timer_clear((*transport)->queue->loop, &(*transport)->pause);
    arena_clear(&(*transport)->arena);
    memory_free(*transport);
    *transport = NULL;
}

static void pause_expired(struct timer *timer)
{
    struct transport *transport = list_entry(timer, struct transport, pause);

    if (!transport->is_stalled)
        transport_settle(transport->queue, transport);
    scheduler_run(transport->queue);
}

/* Some destinations that hang, with all the concurrency that they may have, would use up the
 * process limit, and everybody else would wait for them. So the last processes are for destinations
 * that have no delivery on its way. */
static bool has_spare_room(const struct transport *transport)
{
    size_t limit = transport->settings.process_limit;

    return limit == 0 || transport->busy + limit / RESERVE_SHARE < limit;
}

static void put_in_line(struct destination *destination)
{
    struct transport *transport = destination->transport;
    size_t lane = lanes_first(&destination->waiting);
    bool is_held = destination->concurrency.busy > 0 && !has_spare_room(transport);

    if (!list_is_empty(&destination->link) && destination->is_held == is_held &&
        (is_held || destination->ready_lane == lane))
        return;
    list_remove(&destination->link);
    destination->is_held = is_held;
    destination->ready_lane = (uint8_t)lane;
    if (is_held)
        list_append(&transport->held, &destination->link);
    else
        lanes_append(&transport->ready, lane, &destination->link);
}

struct destination *transport_next(struct transport *transport)
{
    /* One for each that is served: the order stays what it was. */
    if (!list_is_empty(&transport->held) && has_spare_room(transport))
        put_in_line(list_entry(transport->held.next, struct destination, link));
    while (!lanes_are_empty(&transport->ready)) {
        struct destination *destination =
            list_entry(lanes_next(&transport->ready), struct destination, link);
        if (destination->concurrency.busy == 0 || has_spare_room(transport))
            return destination;
        put_in_line(destination); /* there was more room when it came into the line */
    }
    return NULL;
}

void transport_settle(struct queue *queue, struct transport *transport)
{
    size_t limit = transport->settings.process_limit;
    int64_t now_ms = loop_now_ms(queue->loop);
    int64_t wait_ms =
        rate_wait_ms(&transport->rate, transport->settings.transport_delay_ms, now_ms);
    bool has_work = !lanes_are_empty(&transport->ready) ||
                    (!list_is_empty(&transport->held) && has_spare_room(transport));

    if (has_work && wait_ms > 0)
        timer_set(queue->loop, &transport->pause, now_ms + wait_ms, pause_expired);
    if (!has_work || wait_ms > 0 || (limit > 0 && transport->busy >= limit)) {
        transport->is_stalled = false;
        list_remove(&transport->link);
    } else if (list_is_empty(&transport->link)) {
        list_append(&queue->scheduler.ready, &transport->link);
    }
}

void destination_key(const struct transport *transport, struct str nexthop, struct str recipient,
                     struct buf *key)
{
    buf_append(key, transport->name);
    buf_append_byte(key, '\0');
    if (transport->settings.recipient_limit == 1) {
        buf_append(key, address_local(recipient));
        buf_append_byte(key, '@');
    }
    buf_append(key, nexthop);
    for (size_t i = transport->name.len; i < key->len; i++)
        key->ptr[i] = ascii_lower(key->ptr[i]);
}

static struct destination *destination_new(struct transport *transport, struct queue *queue,
                                           struct str key, struct str nexthop)
{
    struct destination *destination = memory_new(sizeof *destination + key.len + nexthop.len);
    char *texts = (char *)(destination + 1);

    memcpy(texts, key.ptr, key.len);
    memcpy(texts + key.len, nexthop.ptr, nexthop.len);
    destination->queue = queue;
    destination->transport = transport;
    destination->key = str_of(texts, key.len);
    destination->nexthop = str_of(texts + key.len, nexthop.len);
    destination->affinity = map_hash(key);
    list_init(&destination->link);
    list_init(&destination->short_link);
    lanes_init(&destination->waiting);
    concurrency_init(&destination->concurrency, &transport->settings.concurrency);
    map_set(queue->scheduler.destinations, key, destination);
    return destination;
}

struct destination *destination_find(struct transport *transport, struct queue *queue,
                                     struct str nexthop, struct str recipient)
{
    struct buf *key = &queue->scheduler.key;

    buf_clear(key);
    destination_key(transport, nexthop, recipient, key);
    struct destination *destination = map_find(queue->scheduler.destinations, buf_str(key));
    if (destination == NULL)
        destination = destination_new(transport, queue, buf_str(key), nexthop);
    return destination;
}

void destination_free(struct destination **destination)
{
    struct destination *gone = *destination;

    map_remove(gone->queue->scheduler.destinations, gone->key);
    timer_clear(gone->queue->loop, &gone->wake);
    list_remove(&gone->link);
    list_remove(&gone->short_link);
    parking_clear(&gone->parking);
    buf_free(&gone->reason);
    memory_free(gone);
    *destination = NULL;
}

bool destination_is_dead(const struct destination *destination)
{
    return concurrency_is_dead(&destination->concurrency);
}

/* A new one looks the same, so the end of the pause may forget it. */
static void wake_expired(struct timer *timer)
{
    struct destination *destination = list_entry(timer, struct destination, wake);
    struct queue *queue = destination->queue;

    if (destination_is_dead(destination))
        destination_revive(destination);
    else
        destination_settle(destination);
    scheduler_run(queue);
}

static void settle_living(struct destination *destination)
{
    struct transport *transport = destination->transport;
    struct queue *queue = destination->queue;
    int64_t now_ms = loop_now_ms(queue->loop);
    int64_t delay_ms = transport->settings.destination_delay_ms;
    int64_t wait_ms = rate_wait_ms(&destination->rate, delay_ms, now_ms);
    size_t busy = destination->concurrency.busy;

    if (wait_ms > 0 && busy == 0)
        timer_set(queue->loop, &destination->wake, now_ms + wait_ms, wake_expired);
    if (destination->waiting_count > 0 && wait_ms == 0 &&
        concurrency_has_room(&destination->concurrency))
        put_in_line(destination);
    else
        list_remove(&destination->link);
    transport_settle(queue, transport);
    if (destination->waiting_count == 0 && busy == 0 && wait_ms == 0 &&
        destination->parking.count == 0)
        destination_free(&destination);
}

static void ask_for_more(struct destination *destination)
{
    struct queue *queue = destination->queue;

    if (!parking_is_short(destination)) {
        list_remove(&destination->short_link);
    } else if (list_is_empty(&destination->short_link)) {
        list_append(&queue->scheduler.shorts, &destination->short_link);
        backlog_refill(queue);
    }
}

void destination_settle(struct destination *destination)
{
    struct transport *transport = destination->transport;
    struct queue *queue = destination->queue;
    bool has_work = destination->waiting_count > 0;

    ask_for_more(destination);
    if (destination_is_dead(destination) && !has_work &&
        transport->settings.destination_delay_ms > 0)
        concurrency_revive(&destination->concurrency, &transport->settings.concurrency);
    if (!destination_is_dead(destination)) {
        settle_living(destination);
        return;
    }
    if (!has_work)
        list_remove(&destination->link);
    else if (list_is_empty(&destination->link))
        list_append(&queue->scheduler.suspended, &destination->link);
    transport_settle(queue, transport);
}

void destination_kill(struct destination *destination, struct str dsn, struct str reason)
{
    struct queue *queue = destination->queue;

    destination->concurrency.window = 0;
    snprintf(destination->reason_dsn, sizeof destination->reason_dsn, "%.*s", STR_ARGS(dsn));
    buf_clear(&destination->reason);
    buf_append(&destination->reason, str_take(reason, REASON_BYTES_MAX));
    list_remove(&destination->link); /* settles into the other list */
    timer_set(queue->loop, &destination->wake,
              loop_now_ms(queue->loop) + queue->settings->minimal_backoff_ms, wake_expired);
}

void destination_revive(struct destination *destination)
{
    timer_clear(destination->queue->loop, &destination->wake);
    list_remove(&destination->link);
    concurrency_revive(&destination->concurrency, &destination->transport->settings.concurrency);
    destination_settle(destination);
}

void destination_refit(struct destination *destination)
{
    concurrency_refit(&destination->concurrency, &destination->transport->settings.concurrency);
    destination_settle(destination);
}
