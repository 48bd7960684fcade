/* SPDX-License-Identifier: Apache-2.0 */
#include "rate.h"

void rate_note(struct rate *rate, int64_t now_ms)
{
    *rate = (struct rate){ .last_ms = now_ms, .has_last = true };
}

int64_t rate_wait_ms(const struct rate *rate, int64_t delay_ms, int64_t now_ms)
{
    int64_t passed_ms = now_ms - rate->last_ms;

    if (!rate->has_last || delay_ms <= 0 || passed_ms >= delay_ms)
        return 0;
    return delay_ms - (passed_ms > 0 ? passed_ms : 0);
}
