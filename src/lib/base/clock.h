/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time. Deadlines and intervals use the monotonic clock in milliseconds (a loop caches it, see
 * loop_now_ms); what a person or a header sees uses the wall clock.
 */
#pragma once

#include <stdint.h>

enum { DEADLINE_NEVER = -1 };

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
int64_t clock_wall_ms(void); /* since 1970-01-01 UTC */
int64_t clock_wall_us(void);
