/* SPDX-License-Identifier: Apache-2.0 */
#include "destination.h"

#include "base/memory.h"
#include "mail/address.h"
#include "queue.h"

#include <stdio.h>

enum { REASON_BYTES_MAX = 512 };

struct transport *transport_find(struct queue *queue, struct str name)
{
    struct transport *transport = map_find(queue->scheduler.transports, name);

    if (transport != NULL)
        return transport;
    transport = memory_new(sizeof *transport);
    transport->name = arena_copy(&transport->arena, name);
    transport->settings = settings_transport(queue->settings, transport->name, &transport->arena);
    list_init(&transport->link);
    list_init(&transport->ready);
    map_set(queue->scheduler.transports, transport->name, transport);
    return transport;
}

void transport_free(struct transport **transport)
{
    list_remove(&(*transport)->link);
    arena_clear(&(*transport)->arena);
    memory_free(*transport);
    *transport = NULL;
}

void transport_settle(struct queue *queue, struct transport *transport)
{
    size_t limit = transport->settings.process_limit;
    bool is_ready = !list_is_empty(&transport->ready) && (limit == 0 || transport->busy < limit);

    if (!is_ready) {
        transport->is_stalled = false;
        list_remove(&transport->link);
    } else if (list_is_empty(&transport->link)) {
        list_append(&queue->scheduler.ready, &transport->link);
    }
}

/* Where a delivery takes one recipient only, each recipient is a destination of its own, as in
 * Postfix: its concurrency limits count for the mailbox. */
static void format_key(const struct transport *transport, struct str nexthop, struct str recipient,
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
    list_init(&destination->waiting);
    concurrency_init(&destination->concurrency, &transport->settings.concurrency);
    map_set(queue->scheduler.destinations, key, destination);
    return destination;
}

struct destination *destination_find(struct transport *transport, struct queue *queue,
                                     struct str nexthop, struct str recipient)
{
    struct buf *key = &queue->scheduler.key;

    buf_clear(key);
    format_key(transport, nexthop, recipient, key);
    struct destination *destination = map_find(queue->scheduler.destinations, buf_str(key));
    if (destination == NULL)
        destination = destination_new(transport, queue, buf_str(key), nexthop);
    return destination;
}

void destination_free(struct destination **destination)
{
    struct destination *gone = *destination;

    map_remove(gone->queue->scheduler.destinations, gone->key);
    timer_clear(gone->queue->loop, &gone->revival);
    list_remove(&gone->link);
    buf_free(&gone->reason);
    memory_free(gone);
    *destination = NULL;
}

bool destination_is_dead(const struct destination *destination)
{
    return concurrency_is_dead(&destination->concurrency);
}

void destination_settle(struct destination *destination)
{
    struct transport *transport = destination->transport;
    struct queue *queue = destination->queue;
    bool has_work = destination->waiting_count > 0;
    bool is_dead = destination_is_dead(destination);

    if (!has_work || (!is_dead && !concurrency_has_room(&destination->concurrency)))
        list_remove(&destination->link);
    else if (list_is_empty(&destination->link))
        list_append(is_dead ? &queue->scheduler.suspended : &transport->ready, &destination->link);
    transport_settle(queue, transport);
    if (!has_work && !is_dead && destination->concurrency.busy == 0)
        destination_free(&destination);
}

static void revival_expired(struct timer *timer)
{
    struct destination *destination = list_entry(timer, struct destination, revival);
    struct queue *queue = destination->queue;

    destination_revive(destination);
    scheduler_run(queue);
}

void destination_kill(struct destination *destination, struct str dsn, struct str reason)
{
    struct queue *queue = destination->queue;

    destination->concurrency.window = 0;
    snprintf(destination->reason_dsn, sizeof destination->reason_dsn, "%.*s", STR_ARGS(dsn));
    buf_clear(&destination->reason);
    buf_append(&destination->reason, str_take(reason, REASON_BYTES_MAX));
    list_remove(&destination->link); /* settles into the other list */
    timer_set(queue->loop, &destination->revival,
              loop_now_ms(queue->loop) + queue->settings->minimal_backoff_ms, revival_expired);
}

void destination_revive(struct destination *destination)
{
    timer_clear(destination->queue->loop, &destination->revival);
    list_remove(&destination->link);
    concurrency_revive(&destination->concurrency, &destination->transport->settings.concurrency);
    destination_settle(destination);
}
