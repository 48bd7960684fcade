/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_tickets.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NOW_S = 1000 * TICKET_PERIOD_S + 5 };

struct fixture {
    unsigned char seed[TICKET_SEED_BYTES];
    struct tls_tickets *tickets;
};

static int set_up(void **state)
{
    static struct fixture f;

    *state = &f;
    if (!tls_tickets_make_seed(f.seed))
        return -1;
    f.tickets = tls_tickets_new(f.seed, tls_tickets_period(NOW_S) - TICKET_KEPT_PERIODS);
    return 0;
}

static int tear_down(void **state)
{
    tls_tickets_free(&((struct fixture *)*state)->tickets);
    return 0;
}

static void workers_with_one_seed_have_the_same_keys(void **state)
{
    struct fixture *f = *state;
    struct tls_ticket_key one, other;
    int64_t period, later_s = NOW_S + 3 * TICKET_PERIOD_S;
    unsigned char seed[TICKET_SEED_BYTES];
    bool is_current;

    /* The second one is made later, of what the first has by then. */
    assert_true(tls_tickets_current(f->tickets, STR("25"), NOW_S, &one));
    tls_tickets_get_seed(f->tickets, later_s, seed, &period);
    assert_memory_not_equal(seed, f->seed, sizeof seed);
    struct tls_tickets *second = tls_tickets_new(seed, period);
    assert_true(tls_tickets_find(second, STR("25"), later_s, one.name, &other, &is_current));
    assert_memory_equal(&one, &other, sizeof one);
    assert_false(is_current);
    assert_true(tls_tickets_current(f->tickets, STR("25"), later_s, &one));
    assert_true(tls_tickets_current(second, STR("25"), later_s, &other));
    assert_memory_equal(&one, &other, sizeof one);
    tls_tickets_free(&second);
}

static void key_is_of_one_listener_alone(void **state)
{
    struct fixture *f = *state;
    struct tls_ticket_key one, other;
    bool is_current;

    assert_true(tls_tickets_current(f->tickets, STR("465"), NOW_S, &one));
    assert_false(tls_tickets_find(f->tickets, STR("25"), NOW_S, one.name, &other, &is_current));
    assert_true(tls_tickets_current(f->tickets, STR("25"), NOW_S, &other));
    assert_memory_not_equal(one.cipher_key, other.cipher_key, sizeof one.cipher_key);
    assert_memory_not_equal(one.digest_key, other.digest_key, sizeof one.digest_key);
    assert_memory_not_equal(one.cipher_key, one.digest_key, sizeof one.cipher_key);
}

static void old_key_is_forgotten_for_good(void **state)
{
    struct fixture *f = *state;
    struct tls_ticket_key one, other;
    int64_t last_s = NOW_S + TICKET_KEPT_PERIODS * TICKET_PERIOD_S;
    bool is_current;

    assert_true(tls_tickets_current(f->tickets, STR("25"), NOW_S, &one));
    assert_true(tls_tickets_find(f->tickets, STR("25"), last_s, one.name, &other, &is_current));
    assert_false(tls_tickets_find(f->tickets, STR("25"), last_s + TICKET_PERIOD_S, one.name, &other,
                                  &is_current));
    /* Nor does a clock that is put back bring it back. */
    assert_false(tls_tickets_find(f->tickets, STR("25"), NOW_S, one.name, &other, &is_current));
}

static void clock_that_jumps_far_is_no_matter(void **state)
{
    struct fixture *f = *state;
    struct tls_ticket_key one, other;
    int64_t far_s = (int64_t)NOW_S * 1000;
    bool is_current;

    assert_true(tls_tickets_current(f->tickets, STR("25"), far_s, &one));
    assert_true(tls_tickets_find(f->tickets, STR("25"), far_s, one.name, &other, &is_current));
    assert_true(is_current);
    assert_true(tls_tickets_current(f->tickets, STR("25"), 0, &one));
    assert_true(tls_tickets_find(f->tickets, STR("25"), 0, one.name, &other, &is_current));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(workers_with_one_seed_have_the_same_keys, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(key_is_of_one_listener_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_key_is_forgotten_for_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clock_that_jumps_far_is_no_matter, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
