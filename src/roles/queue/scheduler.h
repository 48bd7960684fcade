/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which delivery is next. A message becomes attempts: some of its recipients for one destination
 * (a transport and a next hop). Transports take turns, and within a transport its destinations
 * take turns, so a slow destination never delays another; within a destination attempts go in the
 * order of arrival. Mailings are overtaken by small messages on both levels (lanes.h): within
 * their destination, and where the mailing has so many destinations that their turns take long.
 * Every step is O(1): a destination or transport is in the list of those that can be served
 * exactly while it can. Runs in the loop.
 */
#pragma once

#include "base/map.h"
#include "destination.h"
#include "message.h"

struct worker;

/* Beside a recipient's index in attempt->recipients: it had its result. */
#define ATTEMPT_RECIPIENT_DONE 0x80000000u

struct attempt {
    struct list link; /* in destination->waiting, or in worker->attempts; or waits nowhere */
    struct list message_link;
    struct message *message;
    struct destination *destination;
    struct worker *worker; /* who has it; NULL while it waits */
    uint64_t job;          /* its number towards the worker */
    uint32_t count;
    uint32_t open_count;   /* recipients without a result */
    uint8_t lane;          /* in destination->waiting */
    uint8_t losses;        /* how many workers died over it */
    uint8_t passes;        /* how many transports passed it on */
    bool is_loading;       /* its content is being read: nothing else may end it */
    uint32_t recipients[]; /* indexes into the message's, with ATTEMPT_RECIPIENT_DONE */
};

struct scheduler {
    struct map *transports;   /* by name */
    struct map *destinations; /* by transport and next hop */
    struct list ready;        /* transports with a destination to serve */
    struct list stalled;      /* the same, but no worker can take more */
    struct list suspended;    /* dead destinations with attempts to defer */
    struct list shorts;       /* destinations that are short of messages kept back for them */
    struct map *parked;       /* the ids of those messages, see parking.h */
    struct timer again;       /* to go on after a long turn */
    struct buf key;           /* scratch */
    bool is_running;
    bool is_draining;
    size_t in_flight; /* attempts that have begun */
    size_t waiting;   /* and those that have not */
};

void scheduler_init(struct queue *queue);
void scheduler_clear(struct queue *queue);

/* Makes the attempts of a message: its active time begins. Nothing is delivered inside this call;
 * scheduler_run does that. */
void scheduler_take(struct queue *queue, struct message *message);
/* The same for attempts that are made already (gathering.h). */
void scheduler_enqueue(struct message *message);
/* Starts what can start. */
void scheduler_run(struct queue *queue);

/* One recipient of an attempt (by its position there) has its result. */
void attempt_record(struct attempt *attempt, uint32_t position, const struct result *result);
/* Another transport, "transport:nexthop", takes the recipient: an attempt of its own. */
void attempt_pass(struct attempt *attempt, uint32_t position, struct str target);
/* The attempt is over. Recipients without a result are deferred. */
void attempt_end(struct attempt *attempt, enum site_outcome site, struct str site_reason);
/* Its worker is gone: it waits again, at the head of its destination. `may_be_why`: the worker died
 * over its deliveries, perhaps over this one; after some of these it is not tried again so soon. */
void attempt_return(struct attempt *attempt, bool may_be_why);

/* Takes away what waits of a message (deleted by an operator). */
void scheduler_withdraw(struct queue *queue, struct message *message);
/* From now on nothing starts: what waits goes back to the store. */
void scheduler_drain(struct queue *queue);
/* postqueue -f: dead destinations get another chance. */
void scheduler_forget_dead(struct queue *queue);
/* After a reload: transports may have other settings. What was learned of destinations stays: their
 * windows within the new limits, dead ones, and the pauses that rate delays make. */
void scheduler_reconfigure(struct queue *queue);
/* A worker came, or has room again. */
void scheduler_unstall(struct queue *queue);
