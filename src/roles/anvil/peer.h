/* SPDX-License-Identifier: Apache-2.0 */
/* The answering end of wire/anvil.def: the smtpd workers, each with the connections it holds. */
#pragma once

#include "counts.h"
#include "net/channel.h"

struct anvil {
    struct loop *loop;
    struct counts *counts;
    int64_t unit_s; /* anvil_rate_time_unit */
    struct list peers;
};

/* Takes over `fd`. */
must_check bool anvil_peer_add(struct anvil *anvil, int fd, struct error *error);
void anvil_peers_clear(struct anvil *anvil);
