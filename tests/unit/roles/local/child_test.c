/* SPDX-License-Identifier: Apache-2.0 */
/* Children: their rights, their limits, their results. */
#include "child.h"

#include "base/clock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SOMEBODY = 47999 };

struct trial {
    struct loop *loop;
    struct child_work work;
    struct child_result result;
    enum child_end end;
};

static void run_fiber(void *argument)
{
    struct trial *trial = argument;

    trial->end = child_run(trial->loop, &trial->work, &trial->result);
    loop_stop(trial->loop);
}

static struct rights own_rights(void)
{
    bool is_root = geteuid() == 0;

    return (struct rights){ is_root ? SOMEBODY : geteuid(), is_root ? SOMEBODY : getegid() };
}

static void run(struct trial *trial, int (*work)(void *, int))
{
    struct error error;

    trial->loop = loop_new(&error);
    assert_non_null(trial->loop);
    trial->work.run = work;
    trial->work.output_bytes = 1000;
    if (trial->work.limit_ms == 0)
        trial->work.limit_ms = 20000;
    fiber_start(trial->loop, "trial", run_fiber, trial);
    loop_run(trial->loop);
    loop_free(&trial->loop);
}

static int say_rights(void *argument, int fd)
{
    sigset_t blocked;

    (void)argument;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    dprintf(fd, "%d %d %d %o %d %d", (int)getuid(), (int)getgid(), getgroups(0, NULL),
            (unsigned)umask(0), setuid(0), sigismember(&blocked, SIGTERM));
    return 7;
}

static void child_is_the_user_for_good(void **state)
{
    struct trial trial = { .work = { .rights = own_rights() } };
    char expected[64];

    (void)state;
    run(&trial, say_rights);
    assert_int_equal(trial.end, CHILD_EXITED);
    assert_int_equal(trial.result.status, 7);
    snprintf(expected, sizeof expected, "%d %d ", (int)own_rights().uid, (int)own_rights().gid);
    assert_true(str_starts_with(buf_str(&trial.result.output), str_from(expected)));
    assert_true(str_ends_with(buf_str(&trial.result.output), STR(" 77 -1 0")));
    buf_free(&trial.result.output);
}

static int never(void *argument, int fd)
{
    (void)argument, (void)fd;
    return 0;
}

static void root_is_nobody_to_become(void **state)
{
    static const struct rights roots[] = { { 0, 0 }, { 0, SOMEBODY }, { SOMEBODY, 0 } };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct trial trial = { .work = { .rights = roots[i] } };
        run(&trial, never);
        assert_int_equal(trial.end, CHILD_EXITED);
        assert_int_equal(trial.result.status, CHILD_RIGHTS_FAILED);
    }
}

static int hang(void *argument, int fd)
{
    (void)argument, (void)fd;
    if (fork() == 0)
        pause();
    for (;;)
        pause();
    return 0;
}

static void time_is_limited(void **state)
{
    struct trial trial = { .work = { .rights = own_rights(), .limit_ms = 300 } };
    int64_t start_ms = clock_monotonic_ms();

    (void)state;
    run(&trial, hang);
    assert_int_equal(trial.end, CHILD_TIMED_OUT);
    assert_in_range(clock_monotonic_ms() - start_ms, 290, 10000);
}

static int shout(void *argument, int fd)
{
    char bytes[4096];

    (void)argument;
    memset(bytes, 'x', sizeof bytes);
    for (int i = 0; i < 1000; i++)
        (void)!write(fd, bytes, sizeof bytes);
    return 0;
}

static void output_is_limited(void **state)
{
    struct trial trial = { .work = { .rights = own_rights() } };

    (void)state;
    run(&trial, shout);
    assert_int_equal(trial.end, CHILD_EXITED);
    assert_int_equal(trial.result.output.len, 1000);
    buf_free(&trial.result.output);
}

static int die(void *argument, int fd)
{
    (void)argument, (void)fd;
    raise(SIGKILL);
    return 0;
}

static void signals_are_told(void **state)
{
    struct trial trial = { .work = { .rights = own_rights() } };

    (void)state;
    run(&trial, die);
    assert_int_equal(trial.end, CHILD_SIGNALLED);
    assert_int_equal(trial.result.status, SIGKILL);
}

static int count_descriptors(void *argument, int fd)
{
    int count = 0;

    (void)argument;
    for (int each = 0; each < 1024; each++)
        count += fcntl(each, F_GETFD) >= 0;
    dprintf(fd, "%d", count);
    return 0;
}

static void descriptors_of_the_role_are_gone(void **state)
{
    struct trial trial = { .work = { .rights = own_rights() } };
    int pair[2];

    (void)state;
    assert_int_equal(pipe(pair), 0);
    run(&trial, count_descriptors);
    assert_true(str_equal(buf_str(&trial.result.output), STR("4")));
    buf_free(&trial.result.output);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_is_the_user_for_good),
        cmocka_unit_test(root_is_nobody_to_become),
        cmocka_unit_test(time_is_limited),
        cmocka_unit_test(output_is_limited),
        cmocka_unit_test(signals_are_told),
        cmocka_unit_test(descriptors_of_the_role_are_gone),
    };
    return cmocka_run_group_tests_name("roles/local_child", tests, NULL, NULL);
}
