/* SPDX-License-Identifier: Apache-2.0 */
#include "counts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { UNIT_S = 60 };

static const struct str A = STR_INIT("smtp:192.0.2.1"), B = STR_INIT("smtp:192.0.2.2");

static void expect(struct anvil_counts counts, unsigned connections, unsigned rate)
{
    assert_int_equal(counts.connections, connections);
    assert_int_equal(counts.rate, rate);
}

static void each_event_has_a_rate_of_its_own(void **state)
{
    struct counts *counts = counts_new();
    struct counts_holder *holder = counts_holder_new(counts);

    expect(counts_add(holder, ANVIL_CONNECTION, A, 100, UNIT_S), 1, 1);
    expect(counts_add(holder, ANVIL_CONNECTION, A, 101, UNIT_S), 2, 2);
    expect(counts_add(holder, ANVIL_MESSAGE, A, 102, UNIT_S), 2, 1);
    expect(counts_add(holder, ANVIL_CONNECTION, B, 103, UNIT_S), 1, 1);
    counts_end_connection(holder, A);
    expect(counts_add(holder, ANVIL_CONNECTION, A, 104, UNIT_S), 2, 3);
    counts_holder_free(&holder);
    counts_free(&counts);
    (void)state;
}

static void a_question_counts_nothing(void **state)
{
    struct counts *counts = counts_new();
    struct counts_holder *holder = counts_holder_new(counts);

    expect(counts_look(counts, ANVIL_NEW_TLS, A, 100, UNIT_S), 0, 0);
    assert_int_equal(counts_client_count(counts), 0);
    (void)counts_add(holder, ANVIL_NEW_TLS, A, 100, UNIT_S);
    expect(counts_look(counts, ANVIL_NEW_TLS, A, 101, UNIT_S), 0, 1);
    expect(counts_look(counts, ANVIL_NEW_TLS, A, 102, UNIT_S), 0, 1);
    expect(counts_look(counts, ANVIL_LOGIN, A, 102, UNIT_S), 0, 0);
    expect(counts_look(counts, ANVIL_NEW_TLS, A, 100 + UNIT_S, UNIT_S), 0, 1);
    expect(counts_look(counts, ANVIL_NEW_TLS, A, 101 + UNIT_S, UNIT_S), 0, 0);
    counts_holder_free(&holder);
    counts_free(&counts);
    (void)state;
}

static void rates_begin_again_with_a_new_unit_and_connections_stay(void **state)
{
    struct counts *counts = counts_new();
    struct counts_holder *holder = counts_holder_new(counts);

    (void)counts_add(holder, ANVIL_CONNECTION, A, 100, UNIT_S);
    (void)counts_add(holder, ANVIL_MESSAGE, A, 100, UNIT_S);
    expect(counts_add(holder, ANVIL_MESSAGE, A, 100 + UNIT_S, UNIT_S), 1, 2);
    expect(counts_add(holder, ANVIL_MESSAGE, A, 101 + UNIT_S, UNIT_S), 1, 1);
    /* a clock that was set back */
    expect(counts_add(holder, ANVIL_MESSAGE, A, 50, UNIT_S), 1, 1);
    counts_holder_free(&holder);
    counts_free(&counts);
    (void)state;
}

static void connections_end_with_who_held_them(void **state)
{
    struct counts *counts = counts_new();
    struct counts_holder *one = counts_holder_new(counts), *two = counts_holder_new(counts);

    (void)counts_add(one, ANVIL_CONNECTION, A, 100, UNIT_S);
    (void)counts_add(one, ANVIL_CONNECTION, A, 100, UNIT_S);
    (void)counts_add(two, ANVIL_CONNECTION, A, 100, UNIT_S);
    counts_end_connection(two, B); /* not one of theirs */
    expect(counts_look(counts, ANVIL_CONNECTION, A, 100, UNIT_S), 3, 3);
    counts_holder_free(&one);
    expect(counts_look(counts, ANVIL_CONNECTION, A, 100, UNIT_S), 1, 3);
    counts_end_connection(two, A);
    counts_end_connection(two, A); /* it has no more */
    expect(counts_look(counts, ANVIL_CONNECTION, A, 100, UNIT_S), 0, 3);
    counts_holder_free(&two);
    counts_free(&counts);
    (void)state;
}

static void clients_without_connections_are_forgotten(void **state)
{
    struct counts *counts = counts_new();
    struct counts_holder *holder = counts_holder_new(counts);

    (void)counts_add(holder, ANVIL_CONNECTION, A, 100, UNIT_S);
    (void)counts_add(holder, ANVIL_MESSAGE, B, 100, UNIT_S);
    counts_sweep(counts, 100 + UNIT_S, UNIT_S);
    assert_int_equal(counts_client_count(counts), 2);
    counts_sweep(counts, 101 + UNIT_S, UNIT_S);
    assert_int_equal(counts_client_count(counts), 1);
    counts_end_connection(holder, A);
    counts_sweep(counts, 101 + UNIT_S, UNIT_S);
    assert_int_equal(counts_client_count(counts), 0);
    counts_holder_free(&holder);
    counts_free(&counts);
    (void)state;
}

static void too_many_clients_and_too_long_names_are_not_counted(void **state)
{
    struct counts *counts = counts_new();
    struct counts_holder *holder = counts_holder_new(counts);
    char name[CLIENT_BYTES_MAX + 2];

    memset(name, 'x', sizeof name);
    expect(counts_add(holder, ANVIL_MESSAGE, str_of(name, sizeof name), 100, UNIT_S), 0, 0);
    for (int i = 0; i < CLIENTS_MAX; i++) {
        int len = snprintf(name, sizeof name, "%d", i);
        (void)counts_add(holder, ANVIL_MESSAGE, str_of(name, (size_t)len), 100, UNIT_S);
    }
    assert_int_equal(counts_client_count(counts), CLIENTS_MAX);
    expect(counts_add(holder, ANVIL_MESSAGE, A, 100, UNIT_S), 0, 0);
    expect(counts_add(holder, ANVIL_MESSAGE, STR("7"), 100, UNIT_S), 0, 2);
    counts_holder_free(&holder);
    counts_free(&counts);
    (void)state;
}

static void statistics_tell_the_most_and_begin_again(void **state)
{
    struct counts *counts = counts_new();
    struct counts_holder *holder = counts_holder_new(counts);
    autofree_buf struct buf line = { 0 };

    (void)counts_add(holder, ANVIL_MESSAGE, A, 100, UNIT_S);
    (void)counts_add(holder, ANVIL_MESSAGE, B, 101, UNIT_S);
    (void)counts_add(holder, ANVIL_MESSAGE, B, 102, UNIT_S);
    assert_true(counts_next_statistic(counts, UNIT_S, &line));
    assert_true(str_starts_with(
        buf_str(&line), STR("statistics: max message rate 2/60s for (smtp:192.0.2.2) at ")));
    assert_true(counts_next_statistic(counts, UNIT_S, &line));
    assert_true(str_starts_with(buf_str(&line), STR("statistics: max cache size 2 at ")));
    assert_false(counts_next_statistic(counts, UNIT_S, &line));
    assert_false(counts_next_statistic(counts, UNIT_S, &line));
    counts_holder_free(&holder);
    counts_free(&counts);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_event_has_a_rate_of_its_own),
        cmocka_unit_test(a_question_counts_nothing),
        cmocka_unit_test(rates_begin_again_with_a_new_unit_and_connections_stay),
        cmocka_unit_test(connections_end_with_who_held_them),
        cmocka_unit_test(clients_without_connections_are_forgotten),
        cmocka_unit_test(too_many_clients_and_too_long_names_are_not_counted),
        cmocka_unit_test(statistics_tell_the_most_and_begin_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
