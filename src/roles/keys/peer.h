/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers that ask, over their channels (wire/keys.def). Those of smtpd and those of smtp are
 * two sides, and neither can use the other's keys. What does not follow the rules ends the channel
 * of whoever said it. In the loop.
 */
#pragma once

#include "keyring.h"
#include "wire/answerer.h"

struct keys_counts {
    uint64_t used, failed, chains;
};

struct keys_side {
    const char *role; /* "smtpd", "smtp" */
    struct keyring *keyring;
    struct keys_counts *counts; /* of both sides */
    bool is_retired;
    struct answerer askers;
    void (*gone)(void *argument); /* a worker is; may be NULL */
    void *argument;
};

/* The caller has set the other members. */
void keys_side_init(struct keys_side *side, struct loop *loop);
must_check bool keys_side_add(struct keys_side *side, int fd, struct error *error);
void keys_side_clear(struct keys_side *side);
/* From now on those that come do not count: they ask a successor, too. */
void keys_side_retire(struct keys_side *side);
/* How many of those that count are left. */
size_t keys_side_count(const struct keys_side *side);
