/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sender of address verification probes: address_verify_sender, with a part that changes every
 * address_verify_sender_ttl. Servers that verify our probe's sender in turn must be told that it
 * exists. Pure.
 */
#pragma once

#include "base/buf.h"
#include "config/config.h"

/* Appends it in internal form; nothing for the null sender. */
void verify_sender_format(const struct config *config, int64_t wall_s, struct buf *out);
/* Whether it is ours: with today's part, the one before or the next one. */
bool verify_sender_is(const struct config *config, int64_t wall_s, struct str address);
