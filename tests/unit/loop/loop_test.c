/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include "base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct loop *loop;
    struct error error;
};

static int set_up(void **state)
{
    static struct fixture fixture;

    fixture.loop = loop_new(&fixture.error);
    *state = &fixture;
    return fixture.loop != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    loop_free(&fixture->loop);
    return 0;
}

/* ---- timers ---- */

struct tick {
    struct timer timer;
    struct loop *loop;
    struct timer *also_clear;
    int order, *next_order;
    int remaining;
    int64_t fired_ms;
};

static void tick_and_stop(struct timer *timer)
{
    struct tick *tick = list_entry(timer, struct tick, timer);

    tick->fired_ms = clock_monotonic_ms();
    loop_stop(tick->loop);
}

static void tick_in_order(struct timer *timer)
{
    struct tick *tick = list_entry(timer, struct tick, timer);

    tick->order = ++*tick->next_order;
    if (tick->also_clear != NULL)
        timer_clear(tick->loop, tick->also_clear);
}

static void tick_again_now(struct timer *timer)
{
    struct tick *tick = list_entry(timer, struct tick, timer);

    if (--tick->remaining > 0)
        timer_set(tick->loop, timer, loop_now_ms(tick->loop), tick_again_now);
    else
        loop_stop(tick->loop);
}

static void timer_fires_not_before_its_deadline(void **state)
{
    struct fixture *f = *state;
    struct tick tick = { .loop = f->loop };
    int64_t deadline_ms = clock_monotonic_ms() + 30;

    timer_set(f->loop, &tick.timer, deadline_ms, tick_and_stop);
    loop_run(f->loop);
    assert_true(tick.fired_ms >= deadline_ms);
    assert_int_equal(tick.timer.heap_slot, 0);
}

static void timers_fire_in_order_and_cleared_ones_do_not(void **state)
{
    struct fixture *f = *state;
    int order = 0;
    struct tick late = { .loop = f->loop, .next_order = &order };
    struct tick early = { .loop = f->loop, .next_order = &order };
    struct tick cleared = { .loop = f->loop, .next_order = &order };
    struct tick never = { .loop = f->loop, .next_order = &order };
    struct tick last = { .loop = f->loop };
    int64_t now_ms = clock_monotonic_ms();

    early.also_clear = &cleared.timer;
    timer_set(f->loop, &late.timer, now_ms + 5000, tick_in_order);
    timer_set(f->loop, &cleared.timer, now_ms + 4, tick_in_order);
    timer_set(f->loop, &never.timer, now_ms + 3, tick_in_order);
    timer_set(f->loop, &early.timer, now_ms + 3, tick_in_order);
    timer_set(f->loop, &late.timer, now_ms + 6, tick_in_order); /* moved */
    timer_set(f->loop, &never.timer, DEADLINE_NEVER, tick_in_order);
    timer_set(f->loop, &last.timer, now_ms + 10, tick_and_stop);
    loop_run(f->loop);
    assert_int_equal(early.order, 1);
    assert_int_equal(late.order, 2);
    assert_int_equal(cleared.order, 0);
    assert_int_equal(never.order, 0);
}

static void timer_set_to_now_again_and_again_lets_the_loop_go_on(void **state)
{
    struct fixture *f = *state;
    struct tick tick = { .loop = f->loop, .remaining = 1000 };

    timer_set(f->loop, &tick.timer, loop_now_ms(f->loop), tick_again_now);
    loop_run(f->loop);
    assert_int_equal(tick.remaining, 0);
}

/* ---- descriptors ---- */

struct end {
    struct watch watch;
    struct loop *loop;
    struct end *other;
    int calls;
    uint32_t events;
};

static void count_and_stop(struct watch *watch, uint32_t events)
{
    struct end *end = list_entry(watch, struct end, watch);

    end->calls++;
    end->events = events;
    loop_stop(end->loop);
}

static void close_both(struct watch *watch, uint32_t events)
{
    struct end *end = list_entry(watch, struct end, watch);

    end->calls++;
    watch_close(end->loop, &end->watch);
    watch_close(end->loop, &end->other->watch);
    loop_stop(end->loop);
}

static void edge_is_reported_once(void **state)
{
    struct fixture *f = *state;
    struct end end = { .loop = f->loop };
    struct tick tick = { .loop = f->loop };
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_true(watch_open(f->loop, &end.watch, fds[0], EPOLLIN, count_and_stop, &f->error));
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_run(f->loop);
    assert_int_equal(end.calls, 1);
    assert_int_equal(end.events, EPOLLIN);
    /* Unread, but no new edge. */
    timer_set(f->loop, &tick.timer, loop_now_ms(f->loop) + 5, tick_and_stop);
    loop_run(f->loop);
    assert_int_equal(end.calls, 1);
    watch_close(f->loop, &end.watch);
    watch_close(f->loop, &end.watch);
    close(fds[0]);
    close(fds[1]);
}

static void watch_closed_while_its_event_is_pending_is_not_called(void **state)
{
    struct fixture *f = *state;
    struct end a = { .loop = f->loop }, b = { .loop = f->loop, .other = &a };
    int fds[4];

    a.other = &b;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 2), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(write(fds[3], "x", 1), 1);
    assert_true(watch_open(f->loop, &a.watch, fds[0], EPOLLIN, close_both, &f->error));
    assert_true(watch_open(f->loop, &b.watch, fds[2], EPOLLIN, close_both, &f->error));
    loop_run(f->loop);
    assert_int_equal(a.calls + b.calls, 1);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
}

static void watching_a_bad_descriptor_fails_with_a_reason(void **state)
{
    struct fixture *f = *state;
    struct end end = { .loop = f->loop };

    assert_false(watch_open(f->loop, &end.watch, -1, EPOLLIN, count_and_stop, &f->error));
    assert_true(f->error.system_errno != 0);
    watch_close(f->loop, &end.watch);
}

/* ---- hooks ---- */

struct hook {
    struct before_sleep hook;
    struct loop *loop;
    struct hook *removes;
    int order, *next_order;
};

static void hook_run(struct before_sleep *before_sleep)
{
    struct hook *hook = list_entry(before_sleep, struct hook, hook);

    hook->order = ++*hook->next_order;
    if (hook->removes != NULL)
        before_sleep_remove(&hook->removes->hook);
    loop_stop(hook->loop);
}

static void hooks_run_in_order_of_adding_and_may_remove_each_other(void **state)
{
    struct fixture *f = *state;
    int order = 0;
    struct hook hooks[5];
    struct tick tick = { .loop = f->loop };

    for (int i = 0; i < 5; i++) {
        hooks[i] = (struct hook){ .loop = f->loop, .next_order = &order };
        loop_before_sleep(f->loop, &hooks[i].hook, hook_run);
    }
    hooks[0].removes = &hooks[1]; /* the next one */
    hooks[2].removes = &hooks[2]; /* itself */
    hooks[3].removes = &hooks[0]; /* one that ran */
    timer_set(f->loop, &tick.timer, 0, tick_and_stop);
    loop_run(f->loop);
    int expected[] = { 1, 0, 2, 3, 4 };
    for (int i = 0; i < 5; i++)
        assert_int_equal(hooks[i].order, expected[i]);
    before_sleep_remove(&hooks[3].hook);
    before_sleep_remove(&hooks[4].hook);
}

/* ---- other threads ---- */

enum { WAKES = 20000 };

struct shared {
    struct wakeup wakeup;
    struct loop *loop;
    pthread_mutex_t mutex;
    int sent, seen;
};

static void *send_many(void *argument)
{
    struct shared *shared = argument;

    for (int i = 0; i < WAKES; i++) {
        pthread_mutex_lock(&shared->mutex);
        shared->sent++;
        pthread_mutex_unlock(&shared->mutex);
        loop_wake(&shared->wakeup);
    }
    return NULL;
}

static void look(struct wakeup *wakeup)
{
    struct shared *shared = list_entry(wakeup, struct shared, wakeup);

    pthread_mutex_lock(&shared->mutex);
    shared->seen = shared->sent;
    pthread_mutex_unlock(&shared->mutex);
    if (shared->seen == WAKES)
        loop_stop(shared->loop);
}

static void no_wakeup_from_another_thread_is_lost(void **state)
{
    struct fixture *f = *state;
    struct shared shared = { .loop = f->loop, .mutex = PTHREAD_MUTEX_INITIALIZER };
    pthread_t thread;

    assert_true(wakeup_open(f->loop, &shared.wakeup, look, &f->error));
    assert_int_equal(pthread_create(&thread, NULL, send_many, &shared), 0);
    loop_run(f->loop); /* hangs if the last one were lost */
    pthread_join(thread, NULL);
    assert_int_equal(shared.seen, WAKES);
    wakeup_close(f->loop, &shared.wakeup);
}

/* ---- signals ---- */

struct arrivals {
    struct loop *loop;
    int hangups, terminations;
};

static void arrived(void *argument, int number)
{
    struct arrivals *arrivals = argument;

    if (number == SIGHUP)
        arrivals->hangups++;
    if (number == SIGTERM)
        arrivals->terminations++;
    if (arrivals->hangups > 0 && arrivals->terminations > 0)
        loop_stop(arrivals->loop);
}

static void signals_arrive_in_the_loop(void **state)
{
    struct fixture *f = *state;
    struct arrivals arrivals = { .loop = f->loop };
    const int numbers[] = { SIGHUP, SIGTERM, 0 };

    assert_true(loop_signals(f->loop, numbers, arrived, &arrivals, &f->error));
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGTERM);
    loop_run(f->loop);
    assert_int_equal(arrivals.hangups, 1);
    assert_int_equal(arrivals.terminations, 1);
}

static void no_descriptors_left_is_a_failure_with_a_reason(void **state)
{
    struct rlimit limit, none;
    struct error error;

    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    assert_null(loop_new(&error));
    setrlimit(RLIMIT_NOFILE, &limit);
    assert_string_equal(error.message, "create an epoll set: Too many open files");
}

#define loop_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        loop_test(timer_fires_not_before_its_deadline),
        loop_test(timers_fire_in_order_and_cleared_ones_do_not),
        loop_test(timer_set_to_now_again_and_again_lets_the_loop_go_on),
        loop_test(edge_is_reported_once),
        loop_test(watch_closed_while_its_event_is_pending_is_not_called),
        loop_test(watching_a_bad_descriptor_fails_with_a_reason),
        loop_test(hooks_run_in_order_of_adding_and_may_remove_each_other),
        loop_test(no_wakeup_from_another_thread_is_lost),
        loop_test(signals_arrive_in_the_loop),
        cmocka_unit_test(no_descriptors_left_is_a_failure_with_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
