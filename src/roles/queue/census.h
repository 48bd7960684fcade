/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much mail at rest waits for each destination, and since when: counted on demand by a walk
 * over the store, in portions while mail flows, because the queue keeps nothing in memory of what
 * rests. Bounded; what does not fit counts together. In the loop.
 */
#pragma once

#include "base/map.h"
#include "loop/fiber.h"

#include <stdint.h>

struct queue;

enum { CENSUS_DESTINATIONS_MAX = 2000 };

struct census_row {
    struct str key; /* the destination's, as in the scheduler */
    struct str transport, nexthop;
    uint64_t incoming, deferred, held; /* recipients that wait */
    int64_t oldest_us;
};

struct census {
    struct map *rows; /* the last whole count, by key; NULL: none was made */
    uint64_t others;  /* recipients that found no row */
    int64_t made_ms;  /* wall clock: when it was done */
    int64_t took_ms;
    struct fiber *fiber; /* while one is being made */
};

void census_clear(struct queue *queue);
/* Begins one where the last is old for what it costs. */
void census_want(struct queue *queue);
/* The same, and suspends the fiber until there is one. False: it was cancelled. */
bool census_wait(struct queue *queue);
/* Ends the one that is being made. */
void census_drain(struct queue *queue);
