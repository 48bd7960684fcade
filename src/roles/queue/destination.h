/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transports and destinations: the scheduler's tables. A destination exists while something waits
 * or is on its way for it, while it is dead, and while it pauses after a delivery (rate delays); a
 * transport from its first use on. The functions
 * that end in _settle put an object into the list that fits its state after any change; that is
 * the only place where such lists change. The scheduler's own, in the loop.
 */
#pragma once

#include "base/list.h"
#include "lanes.h"
#include "loop/loop.h"
#include "parking.h"
#include "rate.h"
#include "settings.h"

struct queue;

struct transport {
    struct queue *queue;
    struct str name;
    struct arena arena;
    struct transport_settings settings;
    struct list link;   /* in scheduler->ready or ->stalled */
    struct lanes ready; /* destinations with something to do and room to do it, each in the first
                           lane that it has something in */
    struct list held;   /* destinations that could go on, but would take what is kept for those
                           that have no delivery on its way */
    size_t busy;
    size_t taken;       /* scratch: attempts of the message that is being taken */
    struct rate rate;   /* begun deliveries */
    struct timer pause; /* of transport_rate_delay */
    bool is_stalled;    /* waits for a worker with room */
};

struct destination {
    struct queue *queue;
    struct transport *transport;
    struct str key; /* in scheduler->destinations */
    struct str nexthop;
    struct list link;     /* in transport->ready or ->held, or scheduler->suspended */
    struct lanes waiting; /* attempts, by their link */
    size_t waiting_count;
    size_t small_waiting; /* of those: in the first lane */
    struct parking parking;
    struct list short_link; /* in scheduler->shorts */
    uint8_t ready_lane;     /* while in transport->ready */
    bool is_held;           /* in transport->held */
    struct concurrency concurrency;
    struct rate rate;  /* ended deliveries */
    struct timer wake; /* the end of being dead, or of the pause of destination_rate_delay */
    struct buf reason; /* why it is dead */
    char reason_dsn[12];
    int64_t clog_warn_ms; /* when it may be warned of again */
    uint64_t affinity;    /* which worker it prefers: keeps cached connections in one place */
};

struct transport *transport_find(struct queue *queue, struct str name);
void transport_settle(struct queue *queue, struct transport *transport);
/* The destination that is to be served next; NULL: none may be, as things are. */
struct destination *transport_next(struct transport *transport);
void transport_free(struct transport **transport);

/* Appends what stands for the destination in scheduler->destinations. Where a delivery takes one
 * recipient only, each recipient is a destination of its own, as in Postfix: its concurrency limits
 * count for the mailbox. */
void destination_key(const struct transport *transport, struct str nexthop, struct str recipient,
                     struct buf *key);
/* The destination for one recipient, made where it is missing. */
struct destination *destination_find(struct transport *transport, struct queue *queue,
                                     struct str nexthop, struct str recipient);
/* May free it: nothing may use the pointer after this unless something waits or is in flight. */
void destination_settle(struct destination *destination);
bool destination_is_dead(const struct destination *destination);
/* What waits is deferred with the reason, and there are no deliveries for minimal_backoff_time. A
 * destination with a rate delay has its pause anyway: it lives again as soon as all is deferred. */
void destination_kill(struct destination *destination, struct str dsn, struct str reason);
void destination_revive(struct destination *destination);
/* Its transport has other settings. May free it, as destination_settle does. */
void destination_refit(struct destination *destination);
void destination_free(struct destination **destination);
