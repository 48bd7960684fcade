/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recipient's mail goes on to under other addresses: new messages, one for each sender and
 * Delivered-To address, handed to the queue when the recipient has been gone through.
 */
#pragma once

#include "delivery.h"
#include "outcome.h"

struct forward {
    struct forward *next;
    struct str sender;
    struct str delivered; /* the Delivered-To header's */
    struct envelope envelope;
};

struct forwards {
    struct delivery *delivery;
    size_t recipient;
    struct forward *first, **last;
    size_t address_count;
};

void forwards_init(struct forwards *forwards, struct delivery *delivery, size_t recipient);
void forwards_add(struct forwards *forwards, struct str sender, struct str delivered,
                  struct str address);
/* Submits them, and waits until each is on disk; logs "forwarded as ID". False with `outcome` for
 * the first that the queue did not take: the recipient stays. Only in a fiber. */
must_check bool forwards_finish(struct forwards *forwards, struct outcome *outcome);
