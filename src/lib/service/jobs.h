/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue's jobs, as the roles that deliver take them (wire/deliver.def): the channel to the
 * queue, and for each job what came with it. A role's own delivery has a job as its first member,
 * and a fiber once it has begun. One `jobs` in the process; everything in its loop.
 */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "loop/fiber.h"
#include "mail/envelope.h"
#include "mail/log_line.h"
#include "mail/queue_id.h"
#include "net/channel.h"
#include "wire/wire.h"

struct jobs;

struct job {
    struct list link;
    struct jobs *jobs;
    struct fiber *fiber; /* NULL: it has not begun */
    struct arena arena;  /* as long as the job */
    uint64_t number;
    uint64_t generation; /* of the channel it came by; another queue process does not know it */
    uint64_t message_id;
    struct queue_id_text queue_id;
    struct str nexthop;
    struct envelope envelope; /* with the recipients of this job alone */
    struct str content;       /* in the arena, or mapped from the queue's memfd */
    bool is_content_mapped;
    bool is_content_expected; /* deliver_content_fd has not come yet */
    struct delivery_times times;
};

struct job_events {
    /* A job came: a new delivery's, made with job_init. NULL: it does not hold together. */
    struct job *(*received)(void *owner, const struct wire_deliver_job *message);
    /* All of it is there: starts its fiber, or refuses it. */
    void (*begin)(struct job *job);
    /* Ends a job that has not begun: every recipient is deferred, or left undone where `reason` is
     * NULL. */
    void (*refuse)(struct job *job, const char *reason);
    /* It has begun, and is to be given up if that loses nothing. NULL: all go to their end. */
    void (*cancel)(struct job *job);
    /* Whether there is more to finish than jobs. NULL: never. */
    bool (*is_busy)(void *owner);
};

struct jobs_options {
    struct loop *loop;
    struct log_context log;
    const struct job_events *events;
    void *owner;
    bool has_long_queue_ids;         /* enable_long_queue_ids */
    void (*drained)(void *argument); /* once nothing is left after jobs_drain */
    void *argument;
};

struct jobs {
    struct jobs_options options;
    struct channel *queue; /* NULL while there is no queue: results are lost, and the queue tries
                              again what it has no result for */
    uint64_t queue_generation; /* counts the channels there were */
    struct list all;           /* struct job */
    size_t open_count;
    uint64_t count; /* since the start */
    bool is_draining;
};

void jobs_init(struct jobs *jobs, const struct jobs_options *options);
/* A (new) channel to the queue; takes over `fd`. What was under way for an older one is given up,
 * as the new queue process knows nothing of it. */
must_check bool jobs_attach(struct jobs *jobs, int fd, struct error *error);
/* No more jobs. */
void jobs_drain(struct jobs *jobs);
/* What can be given up is. */
void jobs_cancel_all(struct jobs *jobs);
/* Everything ends: what has begun at its next wait. */
void jobs_abandon_all(struct jobs *jobs);
/* Is this the end of the drain? For who was busy. */
void jobs_look_for_end(struct jobs *jobs);
/* No job may be left. */
void jobs_clear(struct jobs *jobs);

/* False, with nothing to clear: its envelope does not hold together. */
must_check bool job_init(struct job *job, struct jobs *jobs,
                         const struct wire_deliver_job *message);
void job_clear(struct job *job);
/* Once it is cleared. */
void job_ended(struct jobs *jobs);
/* The channel that its results go to; NULL where that queue process is gone. */
struct channel *job_queue(const struct job *job);
