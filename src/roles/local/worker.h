/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue's jobs, and what they share. One in the process; everything in it belongs to its loop.
 */
#pragma once

#include "agent.h"
#include "service/jobs.h"
#include "service/submission.h"

struct worker {
    struct loop *loop;
    struct log_context log; /* the role's own, for what belongs to no service */
    struct jobs jobs;       /* the queue's; deliveries under way go to their end */
    struct agents agents;
    struct submission *submission; /* for what is forwarded */
    int64_t delay_decimals;        /* delay_logging_resolution_limit, where there is no service */
    struct buf scratch;            /* for one log line at a time */
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
/* No delivery may be left. */
void worker_clear(struct worker *worker);
