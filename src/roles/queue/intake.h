/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New mail from smtpd and pickup (wire/submit.def): ids are leased, content streams into the store
 * while it arrives, and a message is answered when its commit is on disk. A peer is trusted with
 * nothing: it can use each id that was leased to it once, and what it holds in memory is bounded
 * by not reading further from it.
 */
#pragma once

#include "base/map.h"
#include "message.h"
#include "net/channel.h"

struct submitter;

struct intake {
    struct list submitters;
    bool is_gate_open;
    uint64_t accepted_total, refused_total;
};

void intake_init(struct queue *queue);
void intake_clear(struct queue *queue);
/* Takes over `fd`. */
must_check bool intake_add(struct queue *queue, int fd, struct error *error);
/* There are ids again. */
void intake_lease_ready(struct queue *queue);
/* Tells every peer whether new mail is taken, where that changed. */
void intake_set_gate(struct queue *queue, bool is_open);
