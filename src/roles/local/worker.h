/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The role's channels to the queue and the jobs that came over them. One in the process; everything
 * in it belongs to its loop.
 */
#pragma once

#include "agent.h"
#include "base/list.h"
#include "net/channel.h"
#include "service/submission.h"

struct delivery;

struct worker {
    struct loop *loop;
    struct log_context log; /* the role's own, for what belongs to no service */
    struct agents agents;
    struct submission *submission; /* for what is forwarded */
    struct channel *queue;         /* NULL while there is no queue */
    uint64_t queue_generation;     /* counts the channels there were */
    struct list deliveries;        /* struct delivery, by_worker */
    size_t delivery_count;
    bool has_long_queue_ids;
    int64_t delay_decimals; /* delay_logging_resolution_limit, where there is no service */
    struct buf scratch;     /* for one log line at a time */
    bool is_draining;
    void (*drained)(void *argument); /* called once nothing is left after worker_drain */
    void *argument;
    uint64_t job_count;
};

struct worker_options {
    struct loop *loop;
    struct log_context log;
    const struct config_source *source;
    const struct config *config;
    const struct own_addresses *own_addresses;
    void (*drained)(void *argument);
    void *argument;
};

void worker_init(struct worker *worker, const struct worker_options *options);
/* A (new) channel to the queue for deliveries; takes over `fd`. */
must_check bool worker_attach_queue(struct worker *worker, int fd, struct error *error);
/* No more jobs. */
void worker_drain(struct worker *worker);
/* Everything under way ends at its next wait; children are killed. */
void worker_abandon_all(struct worker *worker);
/* The channel that the delivery's results go to; NULL where that queue process is gone. */
struct channel *worker_queue_of(const struct worker *worker, const struct delivery *delivery);
/* A delivery has ended; its fiber frees it. */
void worker_delivery_ended(struct worker *worker);
/* No delivery may be left. */
void worker_clear(struct worker *worker);
