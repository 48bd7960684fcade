/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One job of the queue: some recipients of one message for one service. It has a fiber of its own,
 * which deals with the recipients in their order and tells the queue and the log what became of
 * each (report.h).
 */
#pragma once

#include "agent.h"
#include "mail/delivery.h"
#include "service/jobs.h"

struct worker;

struct delivery {
    struct job job; /* the first member */
    struct worker *worker;
    const struct agent *agent; /* NULL: there is none of that name */
    bool *are_settled;         /* of each recipient */
    enum dsn_action success;   /* what a delivery is to the sender: the end, or one step */
    bool is_cancelled;         /* what is open stays as it was */
};

/* The job is decoded and copied; NULL where its envelope does not hold together. */
struct delivery *delivery_new(struct worker *worker, const struct wire_deliver_job *job);
/* The memfd of a content that is beside its job; takes over `fd`. False where it is not sealed. */
void delivery_start(struct delivery *delivery);
void delivery_free(struct delivery **delivery);

/* An address is verified: nothing may be written, run or forwarded. */
static inline bool delivery_is_probe(const struct delivery *delivery)
{
    return (delivery->job.envelope.flags & ENVELOPE_PROBE) != 0;
}
/* The recipient's address as it was before rewriting. */
struct str delivery_original(const struct delivery *delivery, size_t recipient);
