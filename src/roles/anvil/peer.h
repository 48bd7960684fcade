/* SPDX-License-Identifier: Apache-2.0 */
/* The answering end of wire/anvil.def: the smtpd workers, each with the connections it holds. */
#pragma once

#include "counts.h"
#include "wire/answerer.h"

struct anvil {
    struct counts *counts;
    int64_t unit_s; /* anvil_rate_time_unit */
    struct answerer peers;
};

/* Answers who is added to `peers`. */
void anvil_peers_init(struct anvil *anvil, struct loop *loop);
