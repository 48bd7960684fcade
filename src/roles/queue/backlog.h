/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings messages from the store into the active table when their time has come and there is room:
 * in small portions, so that deliveries begin before a large backlog has been read, and memory
 * depends on the active messages alone. Two scans: the schedule, in order of time, behind a cursor
 * that says up to where everything due is active or gone; and a flush, in order of ids.
 */
#pragma once

#include "loop/loop.h"
#include "store/store.h"

struct queue;

struct backlog {
    struct store_due cursor; /* the next scan begins here */
    int64_t next_due_ms;     /* the earliest time behind the cursor; INT64_MAX: none known */
    bool is_scanning;        /* there may be due mail behind the cursor */
    bool is_suspended;       /* the schedule waits for an operator's flush */
    bool is_flushing;
    bool is_far_only; /* the flush takes only mail that a clock's step has put far ahead */
    uint64_t flush_from, flush_until; /* ids */
    struct buf flush_sites;           /* only mail with a recipient there, each ended by NUL;
                                         empty: all */
    struct timer timer;
};

void backlog_init(struct queue *queue);
void backlog_clear(struct queue *queue);
/* Everything is there: begin. After a repair of the store, what is in it may have been delivered
 * already: it waits until an operator flushes the queue. */
void backlog_start(struct queue *queue);
/* A message that rests in the store will be due then. */
void backlog_add(struct queue *queue, uint64_t queue_id, int64_t due_ms);
/* A place among the active messages is free. */
void backlog_room(struct queue *queue);
/* A destination is short of what is kept back for it (parking.h). */
void backlog_refill(struct queue *queue);
/* All deferred mail now (`site` empty), or that for one domain. */
void backlog_flush(struct queue *queue, struct str site);
/* One message now, whatever its time: false when it is not in the store or held. */
bool backlog_take(struct queue *queue, uint64_t queue_id);
/* The clock stepped back: mail may be scheduled far ahead of it. */
void backlog_clock_stepped_back(struct queue *queue);
