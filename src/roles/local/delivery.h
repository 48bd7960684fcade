/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One job of the queue: some recipients of one message for one service. It has a fiber of its own,
 * which deals with the recipients in their order and tells the queue and the log what became of
 * each (report.h).
 */
#pragma once

#include "agent.h"
#include "base/list.h"
#include "loop/fiber.h"
#include "mail/delivery.h"
#include "mail/envelope.h"
#include "mail/log_line.h"
#include "mail/queue_id.h"
#include "wire/wire.h"

struct worker;

struct delivery {
    struct list by_worker;
    struct worker *worker;
    const struct agent *agent; /* NULL: there is none of that name */
    struct fiber *fiber;
    struct arena arena;
    uint64_t job;
    uint64_t queue_generation; /* of the channel it came by */
    uint64_t queue_number;
    struct queue_id_text queue_id;
    struct str nexthop;
    struct envelope envelope;
    bool *are_settled;  /* of each recipient */
    enum dsn_action success; /* what a delivery is to the sender: the end, or one step */
    struct str content; /* in the arena, or mapped from the queue's memfd */
    bool is_content_mapped;
    bool is_content_expected; /* deliver_content_fd has not come yet */
    struct delivery_times times;
    bool is_cancelled; /* what is open stays as it was */
};

/* The job is decoded and copied; NULL where its envelope does not hold together. */
struct delivery *delivery_new(struct worker *worker, const struct wire_deliver_job *job);
/* The memfd of a content that is beside its job; takes over `fd`. False where it is not sealed. */
must_check bool delivery_set_content(struct delivery *delivery, int fd, struct error *error);
void delivery_start(struct delivery *delivery);
void delivery_free(struct delivery **delivery);

/* An address is verified: nothing may be written, run or forwarded. */
static inline bool delivery_is_probe(const struct delivery *delivery)
{
    return (delivery->envelope.flags & ENVELOPE_PROBE) != 0;
}
/* The recipient's address as it was before rewriting. */
struct str delivery_original(const struct delivery *delivery, size_t recipient);
