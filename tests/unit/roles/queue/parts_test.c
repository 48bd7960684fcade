/* SPDX-License-Identifier: Apache-2.0 */
/* The queue's pure parts: back-off and clocks, concurrency, leased ids. */
#include "concurrency.h"
#include "leased_ids.h"
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
        assert_int_equal(retry_next_ms(&limits, 1000, 1000 + cases[i][0]),
                         1000 + cases[i][0] + cases[i][1]);
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
    assert_int_equal(retry_age_ms(&clock, wall_ms, wall_ms - 10 * year_ms), 0);
}

static void slow_discipline_is_no_step(void **state)
{
    struct wall_clock clock;

    (void)state;
    wall_clock_init(&clock, 1700000000000, 0);
    for (int64_t i = 1; i < 10000; i++) /* a second fast in each minute */
        assert_int_equal(wall_clock_check(&clock, 1700000000000 + i * 61000, i * 60000),
                         CLOCK_STEADY);
    assert_int_equal(clock.ahead_ms, 0);
}

static void window_grows_to_its_limit_and_no_further_than_it_is_used(void **state)
{
    const struct concurrency_limits narrow = { .initial = 5, .limit = 20, .cohort_limit = 1 };
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
    const struct concurrency_limits narrow = { .initial = 5, .limit = 20, .cohort_limit = 1 };
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
    const struct concurrency_limits patient = { .initial = 5, .limit = 20 };
    concurrency_init(&concurrency, &patient);
    for (int i = 0; i < 100; i++)
        concurrency_fail(&concurrency, &patient);
    assert_int_equal(concurrency.window, 1);
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
        cmocka_unit_test(expires_at_the_end_of_its_lifetime),
        cmocka_unit_test(what_lies_beyond_any_backoff_is_due),
        cmocka_unit_test(step_of_the_clock_is_no_age),
        cmocka_unit_test(step_back_is_told_once_and_leaves_ages_alone),
        cmocka_unit_test(slow_discipline_is_no_step),
        cmocka_unit_test(window_grows_to_its_limit_and_no_further_than_it_is_used),
        cmocka_unit_test(one_failed_cohort_makes_it_dead),
        cmocka_unit_test(leased_ids_serve_once),
        cmocka_unit_test(leased_ids_stay_bounded),
    };
    return cmocka_run_group_tests_name("roles/queue_parts", tests, NULL, NULL);
}
