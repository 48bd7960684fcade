/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postsuper -r: a message that is marked ENVELOPE_REQUEUED passes cleanup again, with today's maps
 * and checks, and becomes another message under another id, in the commit that removes the old
 * one. So it is there once, whenever a crash strikes. What cleanup refuses for good goes back to
 * its sender, as in Postfix; what it cannot do now is tried again later. One message at a time, in
 * a fiber of its own.
 */
#pragma once

#include "base/map.h"
#include "loop/fiber.h"

#include <stdint.h>

struct queue;

struct requeue {
    struct map *pending; /* by the eight bytes of the id; the values mean nothing */
    struct fiber *fiber; /* while there is something to do */
    bool is_passing;     /* a message is on its way: it uses the settings over its waits */
    struct timer rested; /* it was; whoever waits for that is told */
};

void requeue_init(struct queue *queue);
/* The fiber has ended. */
void requeue_clear(struct queue *queue);
/* The message in the store is due and marked; it is taken at once or behind others. */
void requeue_add(struct queue *queue, uint64_t queue_id);
bool requeue_has(const struct queue *queue, uint64_t queue_id);
size_t requeue_count(const struct queue *queue);
