/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a destination that does not get on from filling the active table. A small message whose
 * destinations all have enough waiting is not taken up: only its id is kept here, in the order of
 * arrival, and it becomes active when less waits there. So mail for others always finds room. How
 * much is enough follows from the room that is left: with many such destinations each gets less.
 * The scheduler's own, in the loop.
 */
#pragma once

#include "message.h"

struct destination;

/* Of one destination: a ring of ids. */
struct parking {
    uint64_t *ids;
    size_t first, count, capacity;
};
/* For any such ring; false: the first one has become active by another way. */
void parking_add(struct queue *queue, struct parking *parking, uint64_t queue_id);
bool parking_take_first(struct queue *queue, struct parking *parking, uint64_t *queue_id);
void parking_clear(struct parking *parking);

/* Whether the message, with its attempts gathered and not yet enqueued, has to wait so. */
bool parking_is_wanted(const struct message *message);
/* Frees the message; its id waits at one of its destinations. */
void parking_put(struct message *message);
/* Whether the id waits in any ring. */
bool parking_has(const struct queue *queue, uint64_t queue_id);
/* It becomes active by another way. */
void parking_forget(struct queue *queue, uint64_t queue_id);

/* Whether the destination has ids here and too little that waits: it belongs into the scheduler's
 * list of those. */
bool parking_is_short(const struct destination *destination);
/* The next id that is to become active; false: none. */
bool parking_next(struct queue *queue, uint64_t *queue_id);
