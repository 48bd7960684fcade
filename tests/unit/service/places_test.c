/* SPDX-License-Identifier: Apache-2.0 */
#include "service/places.h"

#include "base/memory.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 4, ROUNDS = 20000, LIMIT = 3 };

struct fixture {
    struct places *master;
    struct error error;
};

static int set_up(void **state)
{
    struct fixture *f = memory_new(sizeof *f);

    f->master = places_new(&f->error);
    *state = f;
    if (f->master == NULL)
        return -1;
    places_set_limit(f->master, LIMIT);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    places_free(&f->master);
    memory_free(f);
    return 0;
}

static struct places *open_worker(struct fixture *f, uint32_t worker)
{
    struct places *places = places_open(dup(places_fd(f->master)), worker, &f->error);

    if (places == NULL)
        fail_msg("%s", f->error.message);
    return places;
}

static size_t take(struct places *places)
{
    size_t place;

    assert_true(places_claim(places, &place));
    places_confirm(places, place);
    return place;
}

static void assert_none_left(struct places *places)
{
    size_t place;

    assert_false(places_claim(places, &place));
}

static void workers_share_the_places_of_a_service(void **state)
{
    struct places *one = open_worker(*state, 0), *other = open_worker(*state, 1);
    size_t first = take(one);

    take(other);
    assert_false(places_are_all_taken(one));
    take(one);
    assert_true(places_are_all_taken(one));
    assert_true(places_are_all_taken(other));
    assert_none_left(one);
    assert_none_left(other);
    assert_int_equal(places_count(other), LIMIT);
    places_release(one, first);
    assert_false(places_are_all_taken(other));
    take(other);
    assert_none_left(one);
    places_free(&one);
    places_free(&other);
}

static void without_a_limit_there_is_always_a_place(void **state)
{
    struct fixture *f = *state;
    struct places *places = open_worker(f, 0);

    places_set_limit(f->master, 0);
    for (int i = 0; i < 1000; i++)
        take(places);
    assert_int_equal(places_count(places), 1000);
    assert_false(places_are_all_taken(places));
    places_free(&places);
}

/* It may come to nothing, and would be load that nobody saw. */
static void a_claim_is_a_place_less_and_no_load(void **state)
{
    struct fixture *f = *state;
    struct places *places = open_worker(f, 0);
    size_t place;

    places_set_limit(f->master, 1);
    assert_true(places_claim(places, &place));
    assert_none_left(places);
    assert_false(places_are_all_taken(places));
    assert_int_equal(places_count(places), 0);
    places_release(places, place);
    take(places);
    places_free(&places);
}

static void what_a_dead_worker_held_is_free_again(void **state)
{
    struct fixture *f = *state;
    struct places *dead = open_worker(f, 7), *alive = open_worker(f, 8);
    size_t place;

    take(dead);
    take(alive);
    assert_true(places_claim(dead, &place)); /* it dies before it confirms */
    assert_none_left(alive);
    places_forget(f->master, 7);
    assert_int_equal(places_count(f->master), 1);
    take(alive);
    take(alive);
    assert_none_left(alive);
    places_free(&dead);
    places_free(&alive);
}

/* A reload made the limit lower: who still has a conversation counts, wherever its place is. */
static void places_beyond_a_lower_limit_count(void **state)
{
    struct fixture *f = *state;
    struct places *before = open_worker(f, 0), *after = open_worker(f, 1);
    size_t held[10];

    places_set_limit(f->master, 10);
    for (int i = 0; i < 10; i++)
        held[i] = take(before);
    places_set_limit(f->master, LIMIT);
    assert_none_left(before); /* it holds at once, for older workers too */
    for (int i = 0; i < 10 - LIMIT; i++) {
        assert_none_left(after);
        assert_true(places_are_all_taken(after));
        places_release(before, held[i]);
    }
    assert_none_left(after);
    for (size_t i = 10 - LIMIT; i < 10; i++) {
        places_release(before, held[i]);
        take(after);
        assert_none_left(after);
        assert_int_equal(places_count(after), LIMIT);
    }
    places_free(&before);
    places_free(&after);
}

static void who_waits_is_told_of_once(void **state)
{
    struct places *waiter = open_worker(*state, 0), *other = open_worker(*state, 1);
    size_t place = take(other);

    assert_false(places_someone_waits(other));
    places_wait(waiter);
    places_release(other, place);
    assert_true(places_someone_waits(other));
    assert_false(places_someone_waits(other));
    places_free(&waiter);
    places_free(&other);
}

static void overload_is_known_to_all_and_passes(void **state)
{
    struct places *one = open_worker(*state, 0), *other = open_worker(*state, 1);

    assert_false(places_had_overload(other, 5000, 1000));
    places_note_overload(one, 5000);
    assert_true(places_had_overload(other, 4990, 1000)); /* its clock was read earlier */
    assert_true(places_had_overload(other, 5999, 1000));
    assert_false(places_had_overload(other, 6000, 1000));
    places_note_overload(one, INT64_MIN); /* by somebody who means ill */
    assert_false(places_had_overload(other, 6000, 1000));
    places_free(&one);
    places_free(&other);
}

static void one_worker_warns_and_not_again_soon(void **state)
{
    struct places *one = open_worker(*state, 0), *other = open_worker(*state, 1);

    assert_true(places_may_warn(one, 5000));
    assert_false(places_may_warn(other, 5001));
    assert_false(places_may_warn(one, 5000 + OVERLOAD_WARNING_MS));
    assert_true(places_may_warn(other, 5001 + OVERLOAD_WARNING_MS));
    places_free(&one);
    places_free(&other);
}

static void memory_of_another_size_is_refused(void **state)
{
    struct fixture *f = *state;
    int fd = memfd_create("short", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_null(places_open(fd, 0, &f->error));
    assert_int_equal(ftruncate(places_fd(f->master), 4096), -1); /* nobody can make it shorter */
}

/* ---- processes at the same time ---- */

struct tally {
    atomic_int inside, most;
    atomic_long entered;
};

static void enter(struct tally *tally)
{
    int inside = atomic_fetch_add(&tally->inside, 1) + 1;
    int most = atomic_load(&tally->most);

    while (inside > most && !atomic_compare_exchange_weak(&tally->most, &most, inside)) {
    }
    atomic_fetch_add(&tally->entered, 1);
}

/* Never returns: it claims and releases, and dies of a signal in the middle of its last place. */
static void play_worker(struct fixture *f, uint32_t worker, struct tally *tally)
{
    struct places *places = open_worker(f, worker);
    size_t place;

    for (int round = 0; round < ROUNDS; round++) {
        while (!places_claim(places, &place))
            sched_yield();
        enter(tally);
        places_confirm(places, place);
        if (round % 16 == 0)
            sched_yield();
        atomic_fetch_sub(&tally->inside, 1);
        places_release(places, place);
    }
    while (!places_claim(places, &place))
        sched_yield();
    kill(getpid(), SIGKILL);
    _exit(1);
}

static void processes_at_once_never_have_more_than_the_limit(void **state)
{
    struct fixture *f = *state;
    struct tally *tally =
        mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t workers[WORKERS];

    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i] = fork();
        if (workers[i] == 0)
            play_worker(f, i, tally);
    }
    for (int ended = 0; ended < WORKERS; ended++) {
        int status;
        pid_t pid = wait(&status);
        assert_true(WIFSIGNALED(status));
        for (uint32_t i = 0; i < WORKERS; i++)
            if (workers[i] == pid)
                places_forget(f->master, i);
    }
    assert_true(atomic_load(&tally->most) <= LIMIT);
    assert_int_equal(atomic_load(&tally->entered), WORKERS * ROUNDS);
    struct places *places = open_worker(f, 99);
    for (int i = 0; i < LIMIT; i++)
        take(places);
    assert_none_left(places);
    places_free(&places);
    munmap(tally, sizeof *tally);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(workers_share_the_places_of_a_service),
        TEST(without_a_limit_there_is_always_a_place),
        TEST(a_claim_is_a_place_less_and_no_load),
        TEST(what_a_dead_worker_held_is_free_again),
        TEST(places_beyond_a_lower_limit_count),
        TEST(who_waits_is_told_of_once),
        TEST(overload_is_known_to_all_and_passes),
        TEST(one_worker_warns_and_not_again_soon),
        TEST(memory_of_another_size_is_refused),
        TEST(processes_at_once_never_have_more_than_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
