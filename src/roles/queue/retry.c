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
    *clock =
        (struct wall_clock){ .count = 1, .started_ms = monotonic_ms, .checked_ms = monotonic_ms };
    clock->epochs[0] = (struct clock_epoch){ wall_ms - monotonic_ms, INT64_MIN, INT64_MIN };
}

/* The first stays: it is what mail of earlier days came in. */
static void forget_second(struct wall_clock *clock)
{
    if (!clock->has_forgotten)
        clock->forgotten_ms = clock->epochs[1].begin_ms;
    clock->has_forgotten = true;
    clock->count--;
    for (size_t i = 1; i < clock->count; i++)
        clock->epochs[i] = clock->epochs[i + 1];
}

enum clock_step wall_clock_check(struct wall_clock *clock, int64_t wall_ms, int64_t monotonic_ms)
{
    int64_t offset_ms = wall_ms - monotonic_ms;
    struct clock_epoch *now = &clock->epochs[clock->count - 1];
    int64_t change_ms = offset_ms - now->offset_ms, checked_ms = clock->checked_ms;

    clock->checked_ms = monotonic_ms;
    if (change_ms <= RETRY_STEP_MS && change_ms >= -RETRY_STEP_MS) {
        now->offset_ms = offset_ms; /* the clock is being disciplined */
        return CLOCK_STEADY;
    }
    if (clock->count == CLOCK_EPOCHS_MAX)
        forget_second(clock);
    clock->epochs[clock->count++] = (struct clock_epoch){ offset_ms, checked_ms, monotonic_ms };
    return change_ms > 0 ? CLOCK_STEPPED_FORWARD : CLOCK_STEPPED_BACK;
}

int64_t retry_age_ms(const struct wall_clock *clock, int64_t arrival_ms, int64_t now_ms)
{
    int64_t monotonic_ms = now_ms - clock->epochs[clock->count - 1].offset_ms;
    int64_t age_ms = INT64_MAX;

    for (size_t i = 0; i < clock->count; i++) {
        const struct clock_epoch *epoch = &clock->epochs[i];
        int64_t end_ms = i + 1 < clock->count ? epoch[1].seen_ms : INT64_MAX;
        int64_t arrived_ms = arrival_ms - epoch->offset_ms;
        if (arrived_ms >= epoch->begin_ms && arrived_ms <= end_ms &&
            monotonic_ms - arrived_ms < age_ms)
            age_ms = monotonic_ms - arrived_ms;
    }
    if (age_ms == INT64_MAX) /* it came by a clock that we never saw */
        age_ms = monotonic_ms - clock->started_ms;
    if (clock->has_forgotten && age_ms > monotonic_ms - clock->forgotten_ms)
        age_ms = monotonic_ms - clock->forgotten_ms;
    return age_ms > 0 ? age_ms : 0;
}
