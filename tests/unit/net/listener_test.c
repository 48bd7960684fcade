/* SPDX-License-Identifier: Apache-2.0 */
#include "net/listener.h"

#include "loop/fiber.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLIENTS_MAX = 100, SOON_MS = 60 };

struct fixture {
    struct loop *loop;
    struct listener *listener;
    struct net_address address;
    int fd;
    int clients[CLIENTS_MAX];
    int client_count;
    int accepted;
    int pause_after; /* so many */
    int free_after;
    int stop_after;
    int room; /* for so many there is a yes */
    int asked, came_to_nothing;
    struct error error;
};

static void accepted(void *argument, int fd, const struct net_address *peer)
{
    struct fixture *f = argument;

    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(peer->any.sa_family, AF_INET);
    close(fd);
    f->accepted++;
    if (f->accepted == f->pause_after)
        listener_pause(f->listener);
    if (f->accepted == f->free_after)
        listener_free(&f->listener);
    if (f->accepted == f->stop_after)
        loop_stop(f->loop);
}

static int set_up(void **state)
{
    static struct fixture f;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    f = (struct fixture){ .loop = loop_new(&f.error) };
    *state = &f;
    if (f.loop == NULL || !net_address_parse(STR("127.0.0.1"), 0, &f.address) ||
        bind(fd, &f.address.any, f.address.len) < 0 || listen(fd, CLIENTS_MAX + 10) < 0 ||
        getsockname(fd, &f.address.any, &f.address.len) < 0)
        return -1;
    f.fd = fd;
    f.listener = listener_new(f.loop, fd, accepted, &f, &f.error);
    return f.listener != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    listener_free(&f->listener);
    for (int i = 0; i < f->client_count; i++)
        close(f->clients[i]);
    loop_free(&f->loop);
    return 0;
}

static void connect_clients(struct fixture *f, int count)
{
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, &f->address.any, f->address.len), 0);
        f->clients[f->client_count++] = fd;
    }
}

static void sleep_and_stop(void *argument)
{
    struct fixture *f = argument;

    fiber_sleep(f->loop, SOON_MS);
    loop_stop(f->loop);
}

static void run_a_while(struct fixture *f)
{
    fiber_start(f->loop, "a while", sleep_and_stop, f);
    loop_run(f->loop);
}

static void every_connection_is_accepted(void **state)
{
    struct fixture *f = *state;

    connect_clients(f, CLIENTS_MAX); /* more than in one go */
    f->stop_after = CLIENTS_MAX;
    loop_run(f->loop);
    assert_int_equal(f->accepted, CLIENTS_MAX);
}

static void paused_listener_accepts_nothing_until_it_goes_on(void **state)
{
    struct fixture *f = *state;

    f->pause_after = 3;
    connect_clients(f, 10);
    run_a_while(f);
    assert_int_equal(f->accepted, 3);
    listener_pause(f->listener);
    connect_clients(f, 2);
    run_a_while(f);
    assert_int_equal(f->accepted, 3);
    listener_resume(f->listener);
    listener_resume(f->listener);
    run_a_while(f);
    assert_int_equal(f->accepted, 12);
}

static bool may_accept(void *argument)
{
    struct fixture *f = argument;

    f->asked++;
    if (f->asked - f->came_to_nothing <= f->room)
        return true;
    listener_pause(f->listener);
    return false;
}

static void came_to_nothing(void *argument)
{
    struct fixture *f = argument;

    f->came_to_nothing++;
}

static void guarded_listener_asks_before_each_connection(void **state)
{
    struct fixture *f = *state;

    listener_guard(f->listener, may_accept, came_to_nothing);
    f->room = 3;
    connect_clients(f, 5);
    run_a_while(f);
    assert_int_equal(f->accepted, 3);
    assert_int_equal(f->came_to_nothing, 0);
    f->asked = 3;
    f->room = 10;
    listener_resume(f->listener);
    run_a_while(f);
    assert_int_equal(f->accepted, 5);
    assert_int_equal(f->came_to_nothing, 1); /* the sixth, that nobody was there for */
    assert_int_equal(f->asked - f->came_to_nothing, 5);
}

static void paused_listener_leaves_connections_to_another_worker(void **state)
{
    struct fixture *f = *state;
    struct fixture other = { .loop = f->loop };
    int fd = dup(f->fd);

    other.listener = listener_new(f->loop, fd, accepted, &other, &f->error);
    assert_non_null(other.listener);
    listener_pause(f->listener);
    connect_clients(f, 5);
    run_a_while(f);
    assert_int_equal(f->accepted, 0);
    assert_int_equal(other.accepted, 5);
    listener_free(&other.listener);
}

static void listener_may_be_freed_while_it_accepts(void **state)
{
    struct fixture *f = *state;

    f->free_after = 2;
    connect_clients(f, 5);
    run_a_while(f);
    assert_int_equal(f->accepted, 2);
    assert_null(f->listener);
}

static void without_descriptors_it_pauses_and_then_goes_on(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit, none;

    connect_clients(f, 4);
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    clock_t before = clock();
    run_a_while(f);
    assert_int_equal(f->accepted, 0);
    /* It sleeps and does not spin. */
    assert_true((clock() - before) * 1000 / CLOCKS_PER_SEC < SOON_MS / 2);
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < 50 && f->accepted < 4; i++)
        run_a_while(f);
    assert_int_equal(f->accepted, 4);
}

#define listener_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        listener_test(every_connection_is_accepted),
        listener_test(paused_listener_accepts_nothing_until_it_goes_on),
        listener_test(guarded_listener_asks_before_each_connection),
        listener_test(paused_listener_leaves_connections_to_another_worker),
        listener_test(listener_may_be_freed_while_it_accepts),
        listener_test(without_descriptors_it_pauses_and_then_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
