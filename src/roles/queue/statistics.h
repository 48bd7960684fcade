/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened at each destination lately, for operators: counts since the start, times, and the
 * last few answers. It outlives the destination's own object, is bounded (the destinations that
 * were used last), and decides nothing. In the loop.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"

#include <stdint.h>

struct destination;
struct queue;
struct result;

enum {
    STATISTICS_DESTINATIONS_MAX = 1000,
    STATISTICS_REPLIES = 4,
    STATISTICS_REPLY_BYTES = 240,
};

struct reply_record {
    int64_t wall_ms; /* the last time; 0: there is none */
    uint32_t repeats;
    uint8_t status; /* enum delivery_status */
    uint8_t len;
    char text[STATISTICS_REPLY_BYTES];
};

struct destination_record {
    struct list link; /* by use; the newest is the last */
    struct str key;   /* the destination's */
    struct str transport, nexthop;
    uint64_t sent, deferred, bounced; /* recipients */
    int64_t last_sent_ms, last_failed_ms;
    struct reply_record replies[STATISTICS_REPLIES];
    unsigned newest; /* in replies */
};

struct statistics {
    struct map *records; /* by key */
    struct list by_use;
    int64_t started_ms;
};

void statistics_init(struct queue *queue);
void statistics_clear(struct queue *queue);
/* One recipient's attempt has ended. */
void statistics_note(const struct destination *destination, const struct result *result);
/* NULL: nothing is known. */
const struct destination_record *statistics_find(const struct queue *queue, struct str key);
