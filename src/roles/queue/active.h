/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The active messages, by id: at most qmgr_message_active_limit; what does not fit rests in the
 * store until there is room (backlog.h).
 */
#pragma once

#include "base/map.h"
#include "budget.h"
#include "message.h"

struct active {
    struct map *messages; /* by the eight bytes of the queue id */
    struct budget budget;
    uint64_t removed_total;
    uint64_t taken_total;
};

void active_init(struct queue *queue);
void active_clear(struct queue *queue);
size_t active_count(const struct queue *queue);
bool active_has_room(const struct queue *queue);
struct message *active_find(const struct queue *queue, uint64_t queue_id);
/* Owns the message from here on, and begins its active time; or has it wait for that, and frees it,
 * where its destinations have enough (parking.h) or memory has no room for it (budget.h). */
void active_take(struct queue *queue, struct message *message);
/* The same without waiting. */
void active_take_now(struct queue *queue, struct message *message);
/* Its active time is over: frees it. */
void active_release(struct message *message);
