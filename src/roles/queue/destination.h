/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transports and destinations: the scheduler's tables. A destination exists while something waits
 * or is on its way for it, or while it is dead; a transport from its first use on. The functions
 * that end in _settle put an object into the list that fits its state after any change; that is
 * the only place where such lists change. The scheduler's own, in the loop.
 */
#pragma once

#include "base/list.h"
#include "loop/loop.h"
#include "settings.h"

struct queue;

struct transport {
    struct str name;
    struct arena arena;
    struct transport_settings settings;
    struct list link;  /* in scheduler->ready or ->stalled */
    struct list ready; /* destinations with something to do and room to do it */
    size_t busy;
    bool is_stalled; /* waits for a worker with room */
};

struct destination {
    struct queue *queue;
    struct transport *transport;
    struct str key; /* in scheduler->destinations */
    struct str nexthop;
    struct list link;    /* in transport->ready or scheduler->suspended */
    struct list waiting; /* attempts, by their link */
    size_t waiting_count;
    struct concurrency concurrency;
    struct timer revival; /* while it is dead */
    struct buf reason;    /* why it is dead */
    char reason_dsn[12];
    uint64_t affinity; /* which worker it prefers: keeps cached connections in one place */
};

struct transport *transport_find(struct queue *queue, struct str name);
void transport_settle(struct queue *queue, struct transport *transport);
void transport_free(struct transport **transport);

/* The destination for one recipient, made where it is missing. */
struct destination *destination_find(struct transport *transport, struct queue *queue,
                                     struct str nexthop, struct str recipient);
/* May free it: nothing may use the pointer after this unless something waits or is in flight. */
void destination_settle(struct destination *destination);
bool destination_is_dead(const struct destination *destination);
/* No deliveries for a while: what waits is deferred with the reason. */
void destination_kill(struct destination *destination, struct str dsn, struct str reason);
void destination_revive(struct destination *destination);
void destination_free(struct destination **destination);
