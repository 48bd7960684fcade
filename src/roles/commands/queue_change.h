/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing messages from a command: ids gather, and go to the queue in one request for many; what
 * became of each is told in the order in which the ids came. postsuper and `waypost queue` use it.
 */
#pragma once

#include "queue_client.h"
#include "store/queue_tool.h"

struct queue_change {
    struct queue_client *client;
    enum queue_tool_action action;
    struct str queues; /* names; empty: those that the action means by itself */
    /* Hears of each message that was changed (enum queue_tool_effect bits), by its id's number
     * since the last send; NULL: nobody. */
    void (*changed)(void *argument, size_t index, unsigned effect);
    void *argument;
    struct queue_tool_counts counts;

    /* private */
    struct buf ids;
    size_t count;
    uint8_t *effects;
};

enum { QUEUE_CHANGE_IDS_MAX = 2000 }; /* so many gather at most */

/* Sends what has gathered, as one request. False: it failed, or was refused; the text is in
 * `error` and the exit status in `status`. */
must_check bool queue_change_send(struct queue_change *change, int *status, struct error *error);
/* Adds an id; sends first where there is no room. */
must_check bool queue_change_add(struct queue_change *change, uint64_t queue_id, int *status,
                                 struct error *error);
/* All messages in the queues. */
must_check bool queue_change_all(struct queue_change *change, int *status, struct error *error);
void queue_change_clear(struct queue_change *change);
