/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/fiber.h"

#include "base/clock.h"
#include "base/memory.h"
#include "loop/stack_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct loop *loop;
    struct fiber *subject;
    enum wake wakes[8];
    int wake_count;
    int turns[2];
    struct timer timer;
    int timer_count;
    int remaining;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct error error;

    fixture = (struct fixture){ .loop = loop_new(&error) };
    *state = &fixture;
    return fixture.loop != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    loop_free(&fixture->loop);
    return 0;
}

static void stop(void *argument)
{
    struct fixture *f = argument;

    loop_stop(f->loop);
}

static void note(struct fixture *f, enum wake wake)
{
    f->wakes[f->wake_count++] = wake;
}

/* ---- waiting and waking ---- */

static void wait_once(void *argument)
{
    struct fixture *f = argument;

    note(f, fiber_wait(f->loop, "a test", DEADLINE_NEVER));
    loop_stop(f->loop);
}

static void wake_subject(void *argument)
{
    struct fixture *f = argument;

    fiber_wake(f->subject);
    fiber_wake(f->subject);
}

static void wake_up_reaches_a_waiting_fiber(void **state)
{
    struct fixture *f = *state;

    f->subject = fiber_start(f->loop, "subject", wait_once, f);
    fiber_start(f->loop, "waker", wake_subject, f);
    assert_int_equal(fiber_count(f->loop), 2);
    assert_int_equal(f->wake_count, 0); /* nothing runs inside fiber_start */
    loop_run(f->loop);
    assert_int_equal(f->wake_count, 1);
    assert_int_equal(f->wakes[0], WAKE_READY);
    assert_int_equal(fiber_count(f->loop), 0);
    assert_null(fiber_current(f->loop));
}

static void wake_up_before_the_wait_is_not_lost(void **state)
{
    struct fixture *f = *state;

    f->subject = fiber_start(f->loop, "subject", wait_once, f);
    fiber_wake(f->subject);
    loop_run(f->loop);
    assert_int_equal(f->wakes[0], WAKE_READY);
}

static void wait_thrice(void *argument)
{
    struct fixture *f = argument;

    f->subject = fiber_current(f->loop);
    fiber_wake(f->subject);
    fiber_wake(f->subject);
    note(f, fiber_wait(f->loop, "first", DEADLINE_NEVER));
    int64_t began_ms = clock_monotonic_ms();
    note(f, fiber_wait(f->loop, "second", loop_now_ms(f->loop) + 20));
    assert_true(clock_monotonic_ms() - began_ms >= 19);
    note(f, fiber_wait(f->loop, "third", loop_now_ms(f->loop) - 1));
    loop_stop(f->loop);
}

static void several_wake_ups_count_as_one_and_deadlines_end_waits(void **state)
{
    struct fixture *f = *state;

    fiber_start(f->loop, "subject", wait_thrice, f);
    loop_run(f->loop);
    assert_int_equal(f->wakes[0], WAKE_READY);
    assert_int_equal(f->wakes[1], WAKE_TIMEOUT);
    assert_int_equal(f->wakes[2], WAKE_TIMEOUT);
}

static void wait_short_then_long(void *argument)
{
    struct fixture *f = argument;
    int64_t now_ms = loop_now_ms(f->loop);

    f->subject = fiber_current(f->loop);
    note(f, fiber_wait(f->loop, "woken early", now_ms + 10));
    note(f, fiber_wait(f->loop, "longer", now_ms + 40));
    assert_true(clock_monotonic_ms() >= now_ms + 40);
    note(f, fiber_wait(f->loop, "long", loop_now_ms(f->loop) + 1000000));
    note(f, fiber_wait(f->loop, "shorter", loop_now_ms(f->loop) + 10));
    loop_stop(f->loop);
}

static void wake_and_wake_later(void *argument)
{
    struct fixture *f = argument;

    fiber_wake(f->subject);
    fiber_sleep(f->loop, 60);
    fiber_wake(f->subject);
}

static void deadline_of_an_earlier_wait_does_not_end_a_later_one(void **state)
{
    struct fixture *f = *state;
    const enum wake expected[] = { WAKE_READY, WAKE_TIMEOUT, WAKE_READY, WAKE_TIMEOUT };

    fiber_start(f->loop, "subject", wait_short_then_long, f);
    fiber_start(f->loop, "waker", wake_and_wake_later, f);
    loop_run(f->loop);
    assert_int_equal(f->wake_count, 4);
    assert_memory_equal(f->wakes, expected, sizeof expected);
}

/* ---- cancelling ---- */

static void wait_after_cancel(void *argument)
{
    struct fixture *f = argument;

    note(f, fiber_wait(f->loop, "a test", DEADLINE_NEVER));
    assert_true(fiber_is_cancelled(fiber_current(f->loop)));
    fiber_wake(fiber_current(f->loop));
    note(f, fiber_wait(f->loop, "again", DEADLINE_NEVER));
    note(f, fiber_sleep(f->loop, 100000));
    loop_stop(f->loop);
}

static void cancel_subject(void *argument)
{
    struct fixture *f = argument;

    fiber_cancel(f->subject);
    fiber_cancel(f->subject);
}

static void cancelled_fiber_never_waits_again(void **state)
{
    struct fixture *f = *state;

    f->subject = fiber_start(f->loop, "subject", wait_after_cancel, f);
    fiber_start(f->loop, "canceller", cancel_subject, f);
    loop_run(f->loop);
    assert_int_equal(f->wake_count, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(f->wakes[i], WAKE_CANCELLED);
}

static void fiber_cancelled_before_it_ran_is_told_at_its_first_wait(void **state)
{
    struct fixture *f = *state;

    f->subject = fiber_start(f->loop, "subject", wait_after_cancel, f);
    fiber_cancel(f->subject);
    loop_run(f->loop);
    assert_int_equal(f->wakes[0], WAKE_CANCELLED);
}

/* ---- fairness ---- */

enum { TURNS = 50 };

static void count_ticks(struct timer *timer)
{
    struct fixture *f = list_entry(timer, struct fixture, timer);

    f->timer_count++;
    timer_set(f->loop, timer, loop_now_ms(f->loop), count_ticks);
}

static void take_turns(struct fixture *f, int *own)
{
    for (int i = 0; i < TURNS; i++) {
        ++*own;
        assert_true(abs(f->turns[0] - f->turns[1]) <= 1);
        fiber_yield(f->loop);
    }
}

static void yield_first(void *argument)
{
    struct fixture *f = argument;

    take_turns(f, &f->turns[0]);
}

static void yield_second(void *argument)
{
    struct fixture *f = argument;

    take_turns(f, &f->turns[1]);
    timer_clear(f->loop, &f->timer);
    loop_stop(f->loop);
}

static void yield_lets_fibers_and_timers_take_turns(void **state)
{
    struct fixture *f = *state;

    timer_set(f->loop, &f->timer, 0, count_ticks);
    fiber_start(f->loop, "first", yield_first, f);
    fiber_start(f->loop, "second", yield_second, f);
    loop_run(f->loop);
    assert_int_equal(f->turns[0], TURNS);
    assert_int_equal(f->turns[1], TURNS);
    assert_true(f->timer_count >= TURNS - 1);
}

/* Each wakes the other as soon as it runs, until three ticks of the timer were seen. */
static void wake_each_other(void *argument)
{
    struct fixture *f = argument;

    while (f->timer_count < 3) {
        if (f->subject != NULL)
            fiber_wake(f->subject);
        f->subject = fiber_current(f->loop);
        fiber_wait(f->loop, "the other", DEADLINE_NEVER);
    }
    if (--f->remaining > 0) {
        fiber_wake(f->subject);
        return;
    }
    timer_clear(f->loop, &f->timer);
    loop_stop(f->loop);
}

static void fibers_that_wake_each_other_do_not_starve_the_loop(void **state)
{
    struct fixture *f = *state;

    f->remaining = 2;
    timer_set(f->loop, &f->timer, loop_now_ms(f->loop) + 2, count_ticks);
    fiber_start(f->loop, "ping", wake_each_other, f);
    fiber_start(f->loop, "pong", wake_each_other, f);
    loop_run(f->loop);
    assert_true(f->timer_count >= 3);
}

/* ---- many ---- */

struct member {
    struct fixture *fixture;
    int number;
    int checksum;
};

/* Uses some stack, so that a mixed-up one shows. */
static int scribble(int seed)
{
    volatile int local[256];
    int sum = 0;

    for (int i = 0; i < 256; i++)
        local[i] = seed + i;
    for (int i = 0; i < 256; i++)
        sum += local[i];
    return sum;
}

static void member_main(void *argument)
{
    struct member *member = argument;
    struct fixture *f = member->fixture;
    int expected = scribble(member->number);

    for (int i = 0; i < 3; i++) {
        enum wake wake = fiber_sleep(f->loop, 1 + (member->number * 7 + i) % 20);
        assert_int_equal(wake, WAKE_TIMEOUT);
        member->checksum = scribble(member->number);
        assert_int_equal(member->checksum, expected);
    }
    if (--f->remaining == 0)
        loop_stop(f->loop);
}

static int many(void)
{
    /* Some checkers cannot have that many; the build says so. */
    const char *text = getenv("WAYPOST_TEST_FIBERS");

    return text != NULL ? atoi(text) : 10000;
}

static void ten_thousand_fibers_sleep_at_once(void **state)
{
    struct fixture *f = *state;
    int count = many();
    struct member *members = memory_new_array((size_t)count, sizeof *members);

    for (int round = 0; round < 2; round++) {
        f->remaining = count;
        for (int i = 0; i < count; i++) {
            members[i] = (struct member){ .fixture = f, .number = i };
            fiber_start(f->loop, "member", member_main, &members[i]);
        }
        assert_int_equal(fiber_count(f->loop), count);
        loop_run(f->loop);
        assert_int_equal(fiber_count(f->loop), 0);
    }
    memory_free(members);
}

/* ---- the dump ---- */

static void dump_names_each_fiber_and_what_it_waits_for(void **state)
{
    struct fixture *f = *state;
    char *text;
    size_t size;

    f->subject = fiber_start(f->loop, "smtpd 192.0.2.1", wait_once, f);
    fiber_start(f->loop, "stop", stop, f);
    loop_run(f->loop);
    FILE *out = open_memstream(&text, &size);
    fiber_dump(f->loop, out);
    fclose(out);
    assert_string_equal(text, "smtpd 192.0.2.1: a test since 0 ms, no deadline\n");
    free(text);
    fiber_wake(f->subject);
    loop_run(f->loop);
}

/* ---- the pool ---- */

static void pool_gives_back_what_lay_unused(void **state)
{
    struct stack_pool pool = { 0 };
    struct stack *stacks[3];

    for (int i = 0; i < 3; i++)
        stacks[i] = stack_take(&pool, FIBER_STACK_BYTES);
    for (int i = 0; i < 3; i++)
        stack_give(&pool, stacks[i]);
    assert_true(stack_pool_trim(&pool)); /* all three were needed since the last time */
    assert_int_equal(pool.cached_count, 3);
    stacks[0] = stack_take(&pool, FIBER_STACK_BYTES);
    assert_ptr_equal(stacks[0], stacks[2]); /* the warm one */
    stack_give(&pool, stacks[0]);
    assert_true(stack_pool_trim(&pool)); /* one of them was */
    assert_int_equal(pool.cached_count, 1);
    assert_false(stack_pool_trim(&pool));
    assert_int_equal(pool.cached_count, 0);
    stack_pool_clear(&pool);
}

#define fiber_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        fiber_test(wake_up_reaches_a_waiting_fiber),
        fiber_test(wake_up_before_the_wait_is_not_lost),
        fiber_test(several_wake_ups_count_as_one_and_deadlines_end_waits),
        fiber_test(deadline_of_an_earlier_wait_does_not_end_a_later_one),
        fiber_test(cancelled_fiber_never_waits_again),
        fiber_test(fiber_cancelled_before_it_ran_is_told_at_its_first_wait),
        fiber_test(yield_lets_fibers_and_timers_take_turns),
        fiber_test(fibers_that_wake_each_other_do_not_starve_the_loop),
        fiber_test(ten_thousand_fibers_sleep_at_once),
        fiber_test(dump_names_each_fiber_and_what_it_waits_for),
        cmocka_unit_test(pool_gives_back_what_lay_unused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
