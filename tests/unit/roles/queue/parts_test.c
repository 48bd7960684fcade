/* SPDX-License-Identifier: Apache-2.0 */
/* The queue's pure parts: back-off and clocks, concurrency, pauses, lanes, leased ids. */
#include "concurrency.h"
#include "lanes.h"
#include "leased_ids.h"
#include "rate.h"
#include "retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct retry_limits limits = {
    .minimal_backoff_ms = 300000,
    .maximal_backoff_ms = 4000000,
    .lifetime_ms = 432000000,
    .bounce_lifetime_ms = 43200000,
};

static void waits_as_long_as_the_message_is_old(void **state)
{
    static const int64_t cases[][2] = {
        /* age, wait */
        { 0, 300000 },        { 299999, 300000 },     { 600000, 600000 },
        { 3999999, 3999999 }, { 100000000, 4000000 }, { -500000, 300000 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(retry_next_ms(&limits, 1000, 1000 + cases[i][0], 12345),
                         1000 + cases[i][0] + cases[i][1]);
}

static void jitter_makes_waits_longer_by_its_percentage_at_most(void **state)
{
    struct retry_limits jittered = limits;
    int64_t least = INT64_MAX, most = 0;

    (void)state;
    jittered.jitter_percent = 10;
    for (uint64_t id = 1; id <= 1000; id++) {
        int64_t wait_ms = retry_next_ms(&jittered, 0, 0, retry_chance(id, 0));
        least = wait_ms < least ? wait_ms : least;
        most = wait_ms > most ? wait_ms : most;
    }
    assert_true(least >= 300000 && least < 301000);
    assert_true(most <= 330000 && most > 329000);
    assert_false(retry_is_due(&jittered, 4400000, 0)); /* the longest that it can make */
}

static void expires_at_the_end_of_its_lifetime(void **state)
{
    (void)state;
    assert_false(retry_is_expired(&limits, false, 431999999));
    assert_true(retry_is_expired(&limits, false, 432000000));
    assert_true(retry_is_expired(&limits, true, 43200000));
    assert_false(retry_is_expired(&limits, true, 43199999));
}

static void what_lies_beyond_any_backoff_is_due(void **state)
{
    int64_t now_ms = 1700000000000;

    (void)state;
    assert_true(retry_is_due(&limits, now_ms, now_ms));
    assert_false(retry_is_due(&limits, now_ms + 1, now_ms));
    assert_false(retry_is_due(&limits, now_ms + 4000000, now_ms));
    assert_true(retry_is_due(&limits, now_ms + 86400000, now_ms));
    assert_false(retry_is_due(&limits, RETRY_NEVER_MS, now_ms));
}

static const int64_t year_ms = (int64_t)365 * 86400 * 1000;

static void step_of_the_clock_is_no_age(void **state)
{
    struct wall_clock clock;
    int64_t wall_ms = 1700000000000, monotonic_ms = 5000;

    (void)state;
    wall_clock_init(&clock, wall_ms, monotonic_ms);
    assert_int_equal(wall_clock_check(&clock, wall_ms + 60000, monotonic_ms + 60000), CLOCK_STEADY);
    assert_int_equal(retry_age_ms(&clock, wall_ms, wall_ms + 60000), 60000);
    int64_t later_ms = wall_ms + 120000 + 10 * year_ms;
    assert_int_equal(wall_clock_check(&clock, later_ms, monotonic_ms + 120000),
                     CLOCK_STEPPED_FORWARD);
    assert_int_equal(wall_clock_check(&clock, later_ms, monotonic_ms + 120000), CLOCK_STEADY);
    assert_in_range(retry_age_ms(&clock, wall_ms, later_ms), 119000, 121000);
    /* Mail that came after the step is as old as it looks. */
    assert_int_equal(retry_age_ms(&clock, later_ms, later_ms + 5000), 5000);
    assert_int_equal(wall_clock_check(&clock, wall_ms + 180000, monotonic_ms + 180000),
                     CLOCK_STEPPED_BACK);
    assert_int_equal(retry_age_ms(&clock, wall_ms, wall_ms + 180000), 180000);
}

static void step_back_is_told_once_and_leaves_ages_alone(void **state)
{
    struct wall_clock clock;
    int64_t wall_ms = 1700000000000;

    (void)state;
    wall_clock_init(&clock, wall_ms, 0);
    assert_int_equal(wall_clock_check(&clock, wall_ms - 10 * year_ms, 10), CLOCK_STEPPED_BACK);
    assert_int_equal(wall_clock_check(&clock, wall_ms - 10 * year_ms, 10), CLOCK_STEADY);
    assert_in_range(retry_age_ms(&clock, wall_ms, wall_ms - 10 * year_ms), 0, 10);
}

static void step_forward_after_one_back_is_no_age(void **state)
{
    struct wall_clock clock;
    int64_t wall_ms = 1700000000000, behind_ms = wall_ms - 10 * year_ms;

    (void)state;
    wall_clock_init(&clock, wall_ms, 0);
    assert_int_equal(wall_clock_check(&clock, behind_ms + 1000, 1000), CLOCK_STEPPED_BACK);
    int64_t ahead_ms = wall_ms + 10 * year_ms + 2000;
    assert_int_equal(wall_clock_check(&clock, ahead_ms, 2000), CLOCK_STEPPED_FORWARD);
    assert_int_equal(retry_age_ms(&clock, wall_ms, ahead_ms), 2000);
    assert_int_equal(retry_age_ms(&clock, wall_ms - 7000, ahead_ms), 9000);
    assert_int_equal(retry_age_ms(&clock, behind_ms + 1500, ahead_ms), 500);
    /* What came after the last check before a step may have either time. */
    assert_int_equal(retry_age_ms(&clock, behind_ms + 500, ahead_ms), 1500);
    assert_int_equal(retry_age_ms(&clock, wall_ms + 500, ahead_ms), 1500);
}

static void clock_that_steps_all_the_time_makes_nothing_old(void **state)
{
    struct wall_clock clock;
    int64_t wall_ms = 1700000000000;

    (void)state;
    wall_clock_init(&clock, wall_ms, 0);
    for (int64_t i = 1; i <= 1000; i++) {
        int64_t now_ms = wall_ms + 1000 * i + (i % 7 - 3) * year_ms;
        assert_int_not_equal(wall_clock_check(&clock, now_ms, 1000 * i), CLOCK_STEADY);
        for (int64_t j = 1; j <= i; j += 10)
            assert_in_range(
                retry_age_ms(&clock, wall_ms + 1000 * j + (j % 7 - 3) * year_ms, now_ms), 0,
                1000 * i);
    }
}

static void slow_discipline_is_no_step(void **state)
{
    struct wall_clock clock;

    (void)state;
    wall_clock_init(&clock, 1700000000000, 0);
    for (int64_t i = 1; i < 10000; i++) /* a second fast in each minute */
        assert_int_equal(wall_clock_check(&clock, 1700000000000 + i * 61000, i * 60000),
                         CLOCK_STEADY);
    assert_int_equal(clock.count, 1);
}

static void window_grows_to_its_limit_and_no_further_than_it_is_used(void **state)
{
    const struct concurrency_limits narrow = {
        .initial = 5, .limit = 20, .cohort_limit = 1, .positive = { 1, 0 }, .negative = { 1, 0 }
    };
    struct concurrency concurrency;

    (void)state;
    concurrency_init(&concurrency, &narrow);
    assert_int_equal(concurrency.window, 5);
    concurrency.busy = 5;
    for (int i = 0; i < 100; i++)
        concurrency_succeed(&concurrency, &narrow);
    assert_int_equal(concurrency.window, 10); /* busy + initial */
    concurrency.busy = 30;
    for (int i = 0; i < 100; i++)
        concurrency_succeed(&concurrency, &narrow);
    assert_int_equal(concurrency.window, 20);
}

static void one_failed_cohort_makes_it_dead(void **state)
{
    const struct concurrency_limits narrow = {
        .initial = 5, .limit = 20, .cohort_limit = 1, .positive = { 1, 0 }, .negative = { 1, 0 }
    };
    struct concurrency concurrency;

    (void)state;
    concurrency_init(&concurrency, &narrow);
    int failures = 0;
    while (!concurrency_is_dead(&concurrency)) {
        concurrency_fail(&concurrency, &narrow);
        failures++;
    }
    assert_in_range(failures, 1, 5);
    concurrency.busy = 2;
    concurrency_succeed(&concurrency, &narrow); /* one in flight got through */
    assert_int_equal(concurrency.window, 2);
    /* Without a limit of cohorts it shrinks to one and stays. */
    const struct concurrency_limits patient = {
        .initial = 5, .limit = 20, .positive = { 1, 0 }, .negative = { 1, 0 }
    };
    concurrency_init(&concurrency, &patient);
    for (int i = 0; i < 100; i++)
        concurrency_fail(&concurrency, &patient);
    assert_int_equal(concurrency.window, 1);
}

static void feedback_is_read_in_all_its_forms(void **state)
{
    static const struct {
        const char *text;
        double amount;
        int divisor;
        bool is_good;
    } cases[] = {
        { "1", 1, FEEDBACK_CONSTANT, true },
        { "0", 0, FEEDBACK_CONSTANT, true },
        { "0.25", 0.25, FEEDBACK_CONSTANT, true },
        { "1/5", 0.2, FEEDBACK_CONSTANT, true },
        { "1 / concurrency", 1, FEEDBACK_BY_WINDOW, true },
        { "0.5/sqrt_concurrency", 0.5, FEEDBACK_BY_ROOT, true },
        { "", 0, 0, false },
        { "2", 0, 0, false },
        { "-1", 0, 0, false },
        { "1/0", 0, 0, false },
        { "1/", 0, 0, false },
        { "/concurrency", 0, 0, false },
        { "1 / window", 0, 0, false },
        { "1 / 2 / 3", 0, 0, false },
        { "nan", 0, 0, false },
        { "0x1", 0, 0, false },
        { "1.0.0", 0, 0, false },
        { "2 / concurrency", 0, 0, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct feedback feedback = { .amount = 7 };
        assert_int_equal(feedback_parse(str_from(cases[i].text), &feedback), cases[i].is_good);
        assert_true(feedback.amount == (cases[i].is_good ? cases[i].amount : 7));
        assert_true(!cases[i].is_good || (int)feedback.divisor == cases[i].divisor);
    }
}

/* How many successes (or failures) until the window has taken its next steps. */
static void window_moves_by_the_feedback(void **state)
{
    static const struct {
        struct feedback feedback;
        int ups[3];   /* from a window of 4 */
        int downs[3]; /* the same, downwards; 0: there is no such step */
    } cases[] = {
        { { 1, FEEDBACK_CONSTANT }, { 1, 2, 3 }, { 1, 2, 0 } }, /* the first one is of two */
        { { 0.25, FEEDBACK_CONSTANT }, { 4, 8, 12 }, { 1, 4, 8 } },
        { { 1, FEEDBACK_BY_WINDOW }, { 4, 9, 15 }, { 1, 3, 5 } },
        { { 1, FEEDBACK_BY_ROOT }, { 2, 4, 7 }, { 1, 2, 3 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct concurrency_limits free = { .initial = 4,
                                           .positive = cases[i].feedback,
                                           .negative = cases[i].feedback };
        struct concurrency up, down;
        size_t ups = 0, downs = 0;
        concurrency_init(&up, &free);
        concurrency_init(&down, &free);
        for (int event = 1; event <= 15; event++) {
            size_t before = up.window;
            up.busy = up.window;
            concurrency_succeed(&up, &free);
            if (up.window != before && ups < 3)
                assert_int_equal(event, cases[i].ups[ups++]);
            before = down.window;
            concurrency_fail(&down, &free);
            if (down.window != before && downs < 3)
                assert_int_equal(event, cases[i].downs[downs++]);
        }
        assert_int_equal(ups, 3);
        assert_true(downs == 3 || cases[i].downs[downs] == 0);
        assert_int_equal(down.window, 1);
    }
}

static void failure_takes_the_successes_back(void **state)
{
    const struct concurrency_limits slow = { .initial = 4,
                                             .positive = { 0.5, FEEDBACK_CONSTANT },
                                             .negative = { 0.5, FEEDBACK_CONSTANT } };
    struct concurrency concurrency;

    (void)state;
    concurrency_init(&concurrency, &slow);
    concurrency.busy = 4;
    concurrency_succeed(&concurrency, &slow);
    concurrency_fail(&concurrency, &slow); /* a step down: what was gathered is gone */
    assert_int_equal(concurrency.window, 3);
    concurrency_succeed(&concurrency, &slow);
    assert_int_equal(concurrency.window, 3);
    concurrency_succeed(&concurrency, &slow);
    assert_int_equal(concurrency.window, 4);
}

static void new_limits_narrow_the_window_at_once(void **state)
{
    const struct concurrency_limits wide = { .initial = 10 }, narrow = { .initial = 5, .limit = 2 };
    struct concurrency concurrency;

    (void)state;
    concurrency_init(&concurrency, &wide);
    concurrency_refit(&concurrency, &narrow);
    assert_int_equal(concurrency.window, 2);
    concurrency.window = 0;
    concurrency_refit(&concurrency, &narrow);
    assert_true(concurrency_is_dead(&concurrency));
}

static void pause_counts_from_the_last_delivery(void **state)
{
    struct rate rate = { 0 };

    (void)state;
    assert_int_equal(rate_wait_ms(&rate, 10000, 5), 0); /* there was none */
    rate_note(&rate, 1000);
    assert_int_equal(rate_wait_ms(&rate, 10000, 1000), 10000);
    assert_int_equal(rate_wait_ms(&rate, 10000, 10999), 1);
    assert_int_equal(rate_wait_ms(&rate, 10000, 11000), 0);
    assert_int_equal(rate_wait_ms(&rate, 2000, 2500), 500); /* another delay counts at once */
    assert_int_equal(rate_wait_ms(&rate, 0, 1000), 0);
    rate_note(&rate, 0);
    assert_int_equal(rate_wait_ms(&rate, 7, 1), 6);
}

static void lane_follows_the_size_of_a_message(void **state)
{
    static const size_t cases[][3] = {
        /* deliveries, overtaken from, lane */
        { 1, 15, 0 },     { 14, 15, 0 },   { 15, 15, 1 },   { 239, 15, 1 },
        { 240, 15, 2 },   { 3839, 15, 2 }, { 3840, 15, 3 }, { 1000000, 15, 3 },
        { 100000, 0, 0 }, { 0, 15, 0 },    { 1, 1, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(lane_for(cases[i][0], cases[i][1]), cases[i][2]);
}

/* Takes `count` turns where the lanes in `used` never run dry; says how many each got. */
static void take_turns(unsigned used, size_t count, size_t taken[LANE_COUNT])
{
    struct lanes lanes;
    struct list links[LANE_COUNT];

    lanes_init(&lanes);
    for (size_t i = 0; i < LANE_COUNT; i++) {
        taken[i] = 0;
        if (used & 1u << i)
            lanes_append(&lanes, i, &links[i]);
    }
    while (count-- > 0) {
        struct list *next = lanes_next(&lanes);
        for (size_t i = 0; i < LANE_COUNT; i++)
            taken[i] += next == &links[i];
    }
}

static void small_messages_go_first_and_mailings_go_on(void **state)
{
    size_t taken[LANE_COUNT];

    (void)state;
    take_turns(0x9, 1000, taken); /* the smallest and the largest: turn by turn */
    assert_int_equal(taken[0], 500);
    assert_int_equal(taken[3], 500);
    take_turns(0xf, 1600, taken);
    assert_int_equal(taken[0], 800);
    assert_int_equal(taken[1], 400);
    assert_int_equal(taken[2], 200);
    assert_int_equal(taken[3], 200);
    take_turns(0x4, 10, taken); /* alone: everything */
    assert_int_equal(taken[2], 10);
}

static void lane_keeps_the_order_of_arrival(void **state)
{
    struct lanes lanes;
    struct list links[4];

    (void)state;
    lanes_init(&lanes);
    assert_true(lanes_are_empty(&lanes));
    assert_int_equal(lanes_first(&lanes), LANE_COUNT);
    for (size_t i = 0; i < 3; i++)
        lanes_append(&lanes, 1, &links[i]);
    lanes_prepend(&lanes, 1, &links[3]);
    assert_int_equal(lanes_first(&lanes), 1);
    assert_ptr_equal(lanes_peek(&lanes), &links[3]);
    for (size_t i = 0; i < 4; i++) {
        struct list *next = lanes_next(&lanes);
        assert_ptr_equal(next, &links[(i + 3) % 4]);
        list_remove(next);
    }
    assert_true(lanes_are_empty(&lanes));
}

static void leased_ids_serve_once(void **state)
{
    struct leased_ids ids = { 0 };

    (void)state;
    leased_ids_add(&ids, 1000, 256);
    leased_ids_add(&ids, 5000, 10);
    assert_false(leased_ids_use(&ids, 999));
    assert_true(leased_ids_use(&ids, 1000));
    assert_false(leased_ids_use(&ids, 1000));
    assert_true(leased_ids_use(&ids, 1255));
    assert_false(leased_ids_use(&ids, 1256));
    assert_true(leased_ids_use(&ids, 5009));
    assert_false(leased_ids_use(&ids, 5010));
    assert_false(leased_ids_use(&ids, UINT64_MAX));
    leased_ids_clear(&ids);
}

static void leased_ids_stay_bounded(void **state)
{
    struct leased_ids ids = { 0 };

    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        leased_ids_add(&ids, i * 300, 2);
        assert_true(leased_ids_use(&ids, i * 300));
        if (i % 1000 != 0)
            assert_true(leased_ids_use(&ids, i * 300 + 1));
        assert_true(ids.count <= LEASED_BLOCKS_MAX);
    }
    /* Those with an id left were kept over all that. */
    for (uint64_t i = 0; i < 100000; i += 1000)
        assert_true(leased_ids_use(&ids, i * 300 + 1));
    leased_ids_clear(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_as_long_as_the_message_is_old),
        cmocka_unit_test(jitter_makes_waits_longer_by_its_percentage_at_most),
        cmocka_unit_test(expires_at_the_end_of_its_lifetime),
        cmocka_unit_test(what_lies_beyond_any_backoff_is_due),
        cmocka_unit_test(step_of_the_clock_is_no_age),
        cmocka_unit_test(step_back_is_told_once_and_leaves_ages_alone),
        cmocka_unit_test(step_forward_after_one_back_is_no_age),
        cmocka_unit_test(clock_that_steps_all_the_time_makes_nothing_old),
        cmocka_unit_test(slow_discipline_is_no_step),
        cmocka_unit_test(window_grows_to_its_limit_and_no_further_than_it_is_used),
        cmocka_unit_test(one_failed_cohort_makes_it_dead),
        cmocka_unit_test(feedback_is_read_in_all_its_forms),
        cmocka_unit_test(window_moves_by_the_feedback),
        cmocka_unit_test(failure_takes_the_successes_back),
        cmocka_unit_test(new_limits_narrow_the_window_at_once),
        cmocka_unit_test(pause_counts_from_the_last_delivery),
        cmocka_unit_test(lane_follows_the_size_of_a_message),
        cmocka_unit_test(small_messages_go_first_and_mailings_go_on),
        cmocka_unit_test(lane_keeps_the_order_of_arrival),
        cmocka_unit_test(leased_ids_serve_once),
        cmocka_unit_test(leased_ids_stay_bounded),
    };
    return cmocka_run_group_tests_name("roles/queue_parts", tests, NULL, NULL);
}
