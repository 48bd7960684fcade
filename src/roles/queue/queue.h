/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue role as one object: the store with its committer, and the parts that work on it. All
 * of it belongs to the loop's thread. main.c connects it with the service; tests make one over a
 * temporary store and play its peers.
 */
#pragma once

#include "active.h"
#include "backlog.h"
#include "census.h"
#include "committer.h"
#include "completion.h"
#include "content.h"
#include "intake.h"
#include "lease.h"
#include "parking.h"
#include "probe.h"
#include "requeue.h"
#include "retry.h"
#include "scheduler.h"
#include "settings.h"
#include "statistics.h"
#include "tools.h"
#include "worker.h"

struct queue_options {
    struct loop *loop;
    struct store *store;       /* opened by the caller, closed by queue_free's caller */
    struct settings *settings; /* taken over */
    uid_t owner_uid;           /* mail_owner: may use every tool, like root */
    /* connector_ask_user: who calls; in a fiber. */
    bool (*user_name)(void *argument, uid_t uid, struct buf *name, struct error *error);
    /* What forbade a reload has ended (queue_may_reload); may be NULL. */
    void (*rested)(void *argument);
    /* Drained: nothing is in flight any more; or the store is broken: end the process. */
    void (*drained)(void *argument);
    void (*broken)(void *argument, const char *text);
    void *argument;
};

struct queue {
    struct loop *loop;
    struct store *store;
    struct settings *settings;
    struct queue_options options;
    struct committer *committer;
    struct lease lease;
    struct intake intake;
    struct active active;
    struct scheduler scheduler;
    struct workers workers;
    struct content_cache content_cache;
    struct completion completion;
    struct backlog backlog;
    struct probes probes;
    struct requeue requeue;
    struct statistics statistics;
    struct census census;
    struct tools tools;
    struct wall_clock clock;
    struct timer space_check;
    struct timer drain_check;
    struct buf scratch; /* one log line or one envelope; nobody keeps it over a call */
};

/* Starts the committer thread. NULL with `error` on failure (the store stays the caller's). */
struct queue *queue_new(const struct queue_options *options, struct error *error);
/* Peers are there: mail may flow. */
void queue_start(struct queue *queue);
/* Whether nothing uses the settings over a wait. */
bool queue_may_reload(const struct queue *queue);
/* Takes the settings over; the old ones are freed. */
void queue_reload(struct queue *queue, struct settings *settings);
/* postqueue -f. */
void queue_flush(struct queue *queue);
/* ETRN, postqueue -s: what waits for one domain. */
void queue_flush_site(struct queue *queue, struct str site);
/* No delivery starts any more; calls options.drained when what is in flight has ended and is
 * committed. */
void queue_drain(struct queue *queue);
/* Commits what waits and ends the thread. Deliveries still in flight are as if never begun. */
void queue_free(struct queue **queue);
/* Appends counters, a line each. */
void queue_status(struct queue *queue, struct buf *out);

/* For the parts: a message is durable now and is to be delivered. */
void queue_accept(struct message *message);
void queue_check_clock(struct queue *queue);
