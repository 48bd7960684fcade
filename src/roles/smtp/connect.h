/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the connection to one server. */
#pragma once

#include "delivery.h"
#include "session.h"

/* NULL with `*failure`, logged as Postfix does ("connect to host[addr]:25: Connection refused"), or
 * with NULL in it where the fiber was cancelled. */
struct session *connect_target(struct delivery *delivery, const struct target *target,
                               const struct failure **failure);
