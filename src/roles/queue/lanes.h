/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who goes first where small messages and mailings wait side by side: a queue in lanes, by how many
 * deliveries a message needs. Each lane is in order of arrival. The first lane in use gets every
 * other turn, the next one every other of those left, and so on, and the last one what remains:
 * small mail overtakes mailings, and a mailing goes on. Every step is O(1). Postfix reaches
 * the same by counting "delivery slots" (SCHEDULER_README).
 */
#pragma once

#include "base/list.h"

#include <stdint.h>

enum {
    LANE_COUNT = 4,
    LANE_GROWTH = 16, /* each lane is for messages so much larger than those of the one before */
};

struct lanes {
    struct list lane[LANE_COUNT];
    uint32_t turn;
};

/* Where a message belongs that needs so many deliveries; one with fewer than `overtaken_from`
 * is small. 0: nothing is ever overtaken, all is one lane. */
size_t lane_for(size_t deliveries, size_t overtaken_from);

void lanes_init(struct lanes *lanes);
bool lanes_are_empty(const struct lanes *lanes);
void lanes_append(struct lanes *lanes, size_t lane, struct list *link);
void lanes_prepend(struct lanes *lanes, size_t lane, struct list *link);
/* The first lane in use; LANE_COUNT where all are empty. */
size_t lanes_first(const struct lanes *lanes);
/* Whose turn it is now: in its lane still. The lanes may not be empty. */
struct list *lanes_next(struct lanes *lanes);
/* Any member, without taking a turn: the first one of the first lane. */
struct list *lanes_peek(const struct lanes *lanes);
