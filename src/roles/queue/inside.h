/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deliveries that need no other process: the transports error, retry and discard, transports that
 * do not exist or are not built yet, and the deferral of what waits for a dead destination. Each
 * logs as the Postfix daemon that does it there.
 */
#pragma once

#include "scheduler.h"

/* The whole attempt, with its end. */
void inside_deliver(struct attempt *attempt);
/* One recipient's end, by its position in the attempt. */
void inside_end_one(struct attempt *attempt, uint32_t position, const struct result *result);
/* Gives every recipient its deferral; the caller ends the attempt. */
void inside_suspend(struct attempt *attempt, const struct destination *destination);
