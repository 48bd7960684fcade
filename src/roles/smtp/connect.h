/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the connection to one server. */
#pragma once

#include "delivery.h"
#include "session.h"

/* NULL with `*failure`, logged as Postfix does ("connect to host[addr]:25: Connection refused"), or
 * with NULL in it where the fiber was cancelled. */
struct session *connect_target(struct delivery *delivery, const struct target *target,
                               const struct failure **failure);

/* Two servers of equal preference and different address families at once (RFC 8305): the second
 * begins when the first has failed or has not answered within CONNECT_HEAD_START_MS. Whoever is
 * connected first wins; `*winner` (0 or 1) tells who, and the other connection is given up.
 * NULL where both failed, with the latest `*failure`, or NULL in it as above. */
enum { CONNECT_HEAD_START_MS = 250 };
struct session *connect_either(struct delivery *delivery, const struct target *const targets[2],
                               int *winner, const struct failure **failure);
