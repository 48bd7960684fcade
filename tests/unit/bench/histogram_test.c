/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void empty_one_has_only_zeros(void **state)
{
    static struct histogram histogram;

    assert_int_equal(histogram_percentile(&histogram, 50), 0);
    assert_int_equal(histogram_percentile(&histogram, 99.9), 0);
}

static void small_values_are_exact(void **state)
{
    static struct histogram histogram;

    for (int64_t value = 1; value <= 60; value++)
        histogram_add(&histogram, value);
    assert_int_equal(histogram_percentile(&histogram, 50), 30);
    assert_int_equal(histogram_percentile(&histogram, 100), 60);
    assert_int_equal(histogram.min_us, 1);
}

static void every_value_falls_into_a_class_three_percent_wide(void **state)
{
    for (int64_t value = 1; value < (int64_t)1 << 40; value += value / 97 + 1) {
        struct histogram histogram = { 0 };
        histogram_add(&histogram, value);
        histogram_add(&histogram, (int64_t)1 << 41); /* so that the largest does not cut it off */
        int64_t found = histogram_percentile(&histogram, 50);
        assert_true(found >= value);
        assert_true(found - value <= value / 32);
    }
}

static void percentile_counts_values_and_not_classes(void **state)
{
    static struct histogram histogram;

    for (int i = 0; i < 990; i++)
        histogram_add(&histogram, 1000);
    for (int i = 0; i < 10; i++)
        histogram_add(&histogram, 1000000);
    assert_in_range(histogram_percentile(&histogram, 50), 1000, 1031);
    assert_in_range(histogram_percentile(&histogram, 99), 1000, 1031);
    assert_int_equal(histogram_percentile(&histogram, 99.9), 1000000);
}

static void time_that_runs_backwards_counts_as_none(void **state)
{
    static struct histogram histogram;

    histogram_add(&histogram, -5);
    assert_int_equal(histogram.min_us, 0);
    assert_int_equal(histogram.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_one_has_only_zeros),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(every_value_falls_into_a_class_three_percent_wide),
        cmocka_unit_test(percentile_counts_values_and_not_classes),
        cmocka_unit_test(time_that_runs_backwards_counts_as_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
