/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smtp and local workers, as the queue sees them (wire/deliver.def): who takes the next
 * delivery, what each has in flight, and what happens when one is gone. Nothing a worker says is
 * trusted beyond the deliveries that it was given.
 */
#pragma once

#include "net/channel.h"
#include "scheduler.h"

struct worker {
    struct queue *queue;
    struct list link; /* in workers->all */
    struct channel *channel;
    enum transport_kind kind; /* TRANSPORT_WORKER or TRANSPORT_LOCAL: what it can deliver */
    uint32_t number;
    struct list attempts; /* in flight here */
    size_t load;          /* their count */
    bool is_closed;       /* the channel is gone */
    bool is_retired;      /* another took its number: it only finishes what it has */
    bool is_leaving;      /* it has done all that it read, and ends */
};

struct workers {
    struct list all;
    size_t count;
    struct attempt **jobs; /* by slot; NULL where free */
    uint32_t *generations; /* of each slot: the upper half of a job's number */
    uint32_t *free_slots;
    size_t slot_count;
    size_t free_count;
};

void workers_init(struct queue *queue);
void workers_clear(struct queue *queue);
/* Takes over `fd`. A worker with the same number gets nothing new from now on; what it has in
 * flight ends with its results or with its channel. */
must_check bool workers_add(struct queue *queue, enum transport_kind kind, uint32_t number, int fd,
                            struct error *error);
/* The one that the affinity prefers, unless another has much less to do; NULL when none can take
 * more (scheduler_unstall follows). */
struct worker *workers_choose(struct queue *queue, enum transport_kind kind, uint64_t affinity);
void worker_send(struct worker *worker, struct attempt *attempt);
