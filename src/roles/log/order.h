/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the lines of all roles in the order in which they were written. Each role lets its lines
 * gather for some milliseconds (LOG_GATHER_MS), so they arrive in batches that overlap in time.
 * A line is held for one tick at least and two at most, whatever the clock does.
 */
#pragma once

#include "base/log.h"

struct order;

struct order *order_new(void);
void order_free(struct order **order); /* what is still held is dropped: order_finish first */

/* Copies the record. */
void order_add(struct order *order, const struct log_record *record);
bool order_is_empty(const struct order *order);
/* Writes everything that was here at the last tick, and what is older than the newest of that. */
void order_tick(struct order *order, void (*write)(void *argument, const struct log_record *record),
                void *argument);
/* Writes all that is left. */
void order_finish(struct order *order,
                  void (*write)(void *argument, const struct log_record *record), void *argument);
