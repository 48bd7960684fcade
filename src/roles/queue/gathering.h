/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message into attempts: each recipient is routed, and those for one destination go together,
 * as many at a time as its transport takes in one delivery. The scheduler's own.
 */
#pragma once

#include "scheduler.h"

/* Where the configuration sends a recipient. */
struct place {
    struct transport *transport;
    struct str nexthop;
    struct str address; /* as it is delivered to */
    bool is_local;      /* of a domain of ours */
    bool is_bad;        /* no address that mail could go to; transport and next hop say so */
};
/* By sender and filter of the envelope. The strings live as router_find's do. False: a table cannot
 * answer just now. */
must_check bool place_find(struct queue *queue, struct arena *scratch,
                           const struct envelope *envelope, struct str recipient,
                           struct place *place, struct error *error);

/* An attempt that waits nowhere yet, with room for so many recipients. */
struct attempt *attempt_new(struct message *message, struct destination *destination,
                            size_t capacity);
void attempt_add(struct attempt *attempt, uint32_t recipient);

/* Attempts for all recipients that wait and have no verdict, in message->attempts. Those whose
 * transport is in defer_transports go to the transport retry, unless the message was flushed. */
void gather_attempts(struct message *message);
/* Frees them again; none has begun or waits anywhere. */
void gather_undo(struct message *message);
