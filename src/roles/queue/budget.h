/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many recipients may be in memory: qmgr_message_recipient_limit. A message is in memory as a
 * whole, so it is the whole message that has to wait when its kind has used up the limit. Messages
 * with up to qmgr_message_recipient_minimum recipients never do; larger ones are of a few kinds by
 * their size, each with the limit for itself, so that one huge mailing delays only its like. The
 * active table's own, in the loop.
 */
#pragma once

#include "lanes.h"
#include "parking.h"

struct budget {
    size_t used[LANE_COUNT];            /* recipients of active messages */
    struct parking waiting[LANE_COUNT]; /* messages that do not fit yet */
};

void budget_clear(struct budget *budget);
bool budget_has_room(const struct message *message);
void budget_take(struct message *message);
void budget_release(const struct message *message);
/* Frees the message; its id waits until there is room. */
void budget_wait(struct message *message);
/* Whether a message waits that there is room for. */
bool budget_has_next(const struct queue *queue);
/* It is to become active: call it only after budget_has_next. False: that one has already. */
bool budget_next(struct queue *queue, uint64_t *queue_id);
