/* SPDX-License-Identifier: Apache-2.0 */
#include "order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct written {
    char text[256];
};

static void write_line(void *argument, const struct log_record *record)
{
    struct written *written = argument;
    size_t len = strlen(written->text);

    snprintf(written->text + len, sizeof written->text - len, "%.*s ", STR_ARGS(record->text));
}

static void add(struct order *order, int64_t wall_us, const char *text)
{
    /* A buffer of its own that is overwritten: the record must have been copied. */
    char copy[16];

    snprintf(copy, sizeof copy, "%s", text);
    const struct log_record record = { .wall_us = wall_us,
                                       .tag = STR("postfix/test"),
                                       .text = str_from(copy) };
    order_add(order, &record);
    memset(copy, '!', sizeof copy);
}

static void batches_that_overlap_in_time_come_out_in_order(void **state)
{
    struct order *order = order_new();
    struct written written = { "" };

    add(order, 10, "a");
    add(order, 30, "c");
    add(order, 20, "b");
    order_tick(order, write_line, &written);
    assert_string_equal(written.text, "");
    add(order, 25, "b2"); /* another role's batch, late */
    add(order, 40, "d");
    order_tick(order, write_line, &written);
    assert_string_equal(written.text, "a b b2 c ");
    order_tick(order, write_line, &written);
    assert_string_equal(written.text, "a b b2 c d ");
    assert_true(order_is_empty(order));
    order_free(&order);
}

static void lines_of_one_instant_keep_the_order_of_arrival(void **state)
{
    struct order *order = order_new();
    struct written written = { "" };

    for (int i = 0; i < 9; i++)
        add(order, 7, (char[]){ (char)('1' + i), '\0' });
    order_finish(order, write_line, &written);
    assert_string_equal(written.text, "1 2 3 4 5 6 7 8 9 ");
    order_free(&order);
}

static void clock_that_steps_back_holds_no_line_for_longer_than_two_ticks(void **state)
{
    struct order *order = order_new();
    struct written written = { "" };

    add(order, 5000000000, "before");
    order_tick(order, write_line, &written);
    add(order, 10, "after");
    order_tick(order, write_line, &written);
    order_tick(order, write_line, &written);
    assert_string_equal(written.text, "after before ");
    assert_true(order_is_empty(order));
    order_free(&order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_that_overlap_in_time_come_out_in_order),
        cmocka_unit_test(lines_of_one_instant_keep_the_order_of_arrival),
        cmocka_unit_test(clock_that_steps_back_holds_no_line_for_longer_than_two_ticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
