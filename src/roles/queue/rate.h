/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pauses between deliveries: TRANSPORT_destination_rate_delay counts from the end of one delivery
 * to the beginning of the next to the same destination, TRANSPORT_transport_rate_delay from one
 * beginning to the next. Only the last moment is kept and not the time that follows from it, so
 * that a changed delay counts at once. Pure arithmetic on the loop's clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rate {
    int64_t last_ms; /* the moment that the pause counts from */
    bool has_last;
};

void rate_note(struct rate *rate, int64_t now_ms);
/* How much of the pause is left at `now_ms`; 0: none. */
int64_t rate_wait_ms(const struct rate *rate, int64_t delay_ms, int64_t now_ms);
