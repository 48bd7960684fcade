/* SPDX-License-Identifier: Apache-2.0 */
#include "retry.h"

#include "base/map.h"

uint64_t retry_chance(uint64_t queue_id, int64_t now_ms)
{
    uint64_t bytes[] = { queue_id, (uint64_t)now_ms };

    return map_hash(str_of((const char *)bytes, sizeof bytes)); /* seeded by chance */
}

int64_t retry_next_ms(const struct retry_limits *limits, int64_t arrival_ms, int64_t now_ms,
                      uint64_t chance)
{
    int64_t delay_ms = now_ms - arrival_ms;

    if (delay_ms > limits->maximal_backoff_ms)
        delay_ms = limits->maximal_backoff_ms;
    if (delay_ms < limits->minimal_backoff_ms)
        delay_ms = limits->minimal_backoff_ms;
    uint64_t jitter_ms = (uint64_t)(delay_ms / 100 * limits->jitter_percent);
    return now_ms + delay_ms + (int64_t)(chance % (jitter_ms + 1));
}

bool retry_is_expired(const struct retry_limits *limits, bool is_null_sender, int64_t age_ms)
{
    return age_ms >= (is_null_sender ? limits->bounce_lifetime_ms : limits->lifetime_ms);
}

int64_t retry_farthest_ms(const struct retry_limits *limits)
{
    int64_t longest_ms = limits->maximal_backoff_ms > limits->minimal_backoff_ms
                             ? limits->maximal_backoff_ms
                             : limits->minimal_backoff_ms;

    return longest_ms + longest_ms / 100 * limits->jitter_percent + RETRY_STEP_MS;
}

bool retry_is_due(const struct retry_limits *limits, int64_t due_ms, int64_t now_ms)
{
    if (due_ms == RETRY_NEVER_MS)
        return false;
    return due_ms <= now_ms || due_ms - now_ms > retry_farthest_ms(limits);
}

void wall_clock_init(struct wall_clock *clock, int64_t wall_ms, int64_t monotonic_ms)
{
    *clock = (struct wall_clock){ .offset_ms = wall_ms - monotonic_ms };
}

enum clock_step wall_clock_check(struct wall_clock *clock, int64_t wall_ms, int64_t monotonic_ms)
{
    int64_t ahead_ms = wall_ms - monotonic_ms - clock->offset_ms;
    int64_t change_ms = ahead_ms - clock->ahead_ms;

    if (change_ms <= RETRY_STEP_MS && change_ms >= -RETRY_STEP_MS) {
        if (clock->ahead_ms == 0)
            clock->offset_ms += change_ms; /* the clock is being disciplined */
        return CLOCK_STEADY;
    }
    if (change_ms > 0 && clock->ahead_ms <= 0)
        clock->stepped_ms = wall_ms - change_ms;
    clock->ahead_ms = ahead_ms;
    if (ahead_ms <= RETRY_STEP_MS && ahead_ms >= -RETRY_STEP_MS) {
        clock->offset_ms += ahead_ms; /* back where it was */
        clock->ahead_ms = 0;
    }
    return change_ms > 0 ? CLOCK_STEPPED_FORWARD : CLOCK_STEPPED_BACK;
}

int64_t retry_age_ms(const struct wall_clock *clock, int64_t arrival_ms, int64_t now_ms)
{
    int64_t age_ms = now_ms - arrival_ms;

    if (clock->ahead_ms > 0 && arrival_ms <= clock->stepped_ms)
        age_ms -= clock->ahead_ms;
    return age_ms > 0 ? age_ms : 0;
}
