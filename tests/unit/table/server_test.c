/* SPDX-License-Identifier: Apache-2.0 */
/* tcp: and socketmap: against a scripted server at the other end of a socket. */
#include "base/ensure.h"
#include "loop/fiber.h"
#include "table/table.h"
#include "table/table_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- parsers ---- */

static enum server_reply parse(bool is_socketmap, struct str bytes, struct str *value,
                               struct arena *arena)
{
    struct error error = { 0 };
    size_t used = 0;
    enum server_reply whole =
        is_socketmap
            ? socketmap_reply_parse(arena, bytes, SOCKETMAP_REPLY_BYTES_MAX, &used, value, &error)
            : tcp_reply_parse(arena, bytes, TCP_REPLY_BYTES_MAX, &used, value, &error);

    /* Byte by byte: nothing before the last byte of a reply is a reply. */
    for (size_t len = 0; whole != SERVER_REPLY_BAD && len + 1 < used; len++) {
        struct str unused_value;
        size_t unused_len = 0;
        struct str part = str_take(bytes, len);
        enum server_reply early =
            is_socketmap ? socketmap_reply_parse(arena, part, SOCKETMAP_REPLY_BYTES_MAX,
                                                 &unused_len, &unused_value, &error)
                         : tcp_reply_parse(arena, part, TCP_REPLY_BYTES_MAX, &unused_len,
                                           &unused_value, &error);
        assert_int_equal(early, SERVER_REPLY_INCOMPLETE);
    }
    return whole;
}

static void replies_are_parsed_and_bounded(void **state)
{
    static const struct {
        bool is_socketmap;
        struct str bytes;
        enum server_reply reply;
        const char *value;
    } cases[] = {
        { false, STR_INIT("200 a%20b\n"), SERVER_REPLY_FOUND, "a b" },
        { false, STR_INIT("200 plain text\n"), SERVER_REPLY_FOUND, "plain text" },
        { false, STR_INIT("500 nothing\n"), SERVER_REPLY_ABSENT, NULL },
        { false, STR_INIT("400 later\n"), SERVER_REPLY_FAILED, NULL },
        { false, STR_INIT("200 a%2\n"), SERVER_REPLY_BAD, NULL },
        { false, STR_INIT("200 a%zz\n"), SERVER_REPLY_BAD, NULL },
        { false, STR_INIT("200 a%00b\n"), SERVER_REPLY_BAD, NULL },
        { false, STR_INIT("200\n"), SERVER_REPLY_BAD, NULL },
        { false, STR_INIT("300 x\n"), SERVER_REPLY_BAD, NULL },
        { false, STR_INIT("200 x"), SERVER_REPLY_INCOMPLETE, NULL },
        { true, STR_INIT("5:OK ab,"), SERVER_REPLY_FOUND, "ab" },
        { true, STR_INIT("3:OK ,"), SERVER_REPLY_FOUND, "" },
        { true, STR_INIT("2:OK,"), SERVER_REPLY_BAD, NULL },
        { true, STR_INIT("9:NOTFOUND ,"), SERVER_REPLY_ABSENT, NULL },
        { true, STR_INIT("8:NOTFOUND,"), SERVER_REPLY_ABSENT, NULL },
        { true, STR_INIT("8:TEMP why,"), SERVER_REPLY_FAILED, NULL },
        { true, STR_INIT("5:PERM ,"), SERVER_REPLY_FAILED, NULL },
        { true, STR_INIT("9:TIMEOUT x,"), SERVER_REPLY_FAILED, NULL },
        { true, STR_INIT("4:MAYB,"), SERVER_REPLY_BAD, NULL },
        { true, STR_INIT("5:OK abX"), SERVER_REPLY_BAD, NULL },
        { true, STR_INIT("6:OK a\0b,"), SERVER_REPLY_BAD, NULL },
        { true, STR_INIT("4294967296:OK "), SERVER_REPLY_BAD, NULL },
        { true, STR_INIT("100001:OK "), SERVER_REPLY_BAD, NULL },
        { true, STR_INIT("100000:OK "), SERVER_REPLY_INCOMPLETE, NULL },
        { true, STR_INIT("-1:"), SERVER_REPLY_BAD, NULL },
        { true, STR_INIT(":OK ,"), SERVER_REPLY_BAD, NULL },
        { true, STR_INIT("200 OK\n"), SERVER_REPLY_BAD, NULL },
        { true, STR_INIT(""), SERVER_REPLY_INCOMPLETE, NULL },
    };
    struct arena arena = { 0 };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct str value = STR("");
        if (parse(cases[i].is_socketmap, cases[i].bytes, &value, &arena) != cases[i].reply ||
            (cases[i].value != NULL && !str_equal(value, str_from(cases[i].value))))
            fail_msg("case %zu: \"%.*s\"", i, STR_ARGS(cases[i].bytes));
    }
    arena_clear(&arena);
}

static void an_endless_reply_is_cut_off(void **state)
{
    static char endless[TCP_REPLY_BYTES_MAX];
    struct arena arena = { 0 };
    struct str value;

    memset(endless, 'x', sizeof endless);
    assert_int_equal(parse(false, str_of(endless, sizeof endless - 1), &value, &arena),
                     SERVER_REPLY_INCOMPLETE);
    assert_int_equal(parse(false, str_of(endless, sizeof endless), &value, &arena),
                     SERVER_REPLY_BAD);
    arena_clear(&arena);
}

static void a_line_end_in_a_key_is_never_sent(void **state)
{
    struct buf request = { 0 };
    struct error error = { 0 };

    assert_true(tcp_request_format(&request, STR("a b%c\nget x"), &error));
    assert_string_equal(buf_text(&request), "get a%20b%25c%0aget%20x\n");
    buf_clear(&request);
    assert_true(socketmap_request_format(&request, STR("map"), STR("a b"), &error));
    assert_string_equal(buf_text(&request), "7:map a b,");
    assert_false(socketmap_request_format(&request, STR("map"), STR("a\nb"), &error));
    buf_free(&request);
}

/* ---- look-ups ---- */

static struct world {
    struct loop *loop;
    int server_fds[100]; /* the servers' ends of the connections, in order */
    int connections;
    bool refuses;
    int asked, done;
    enum lookup_outcome outcomes[100];
    char values[100][40];
    struct error error;
    struct table *table;
} world;

static void *name_server(void *argument, struct str server, struct error *error)
{
    return argument;
}

static enum stream_outcome connect_server(void *server, int64_t deadline_ms, struct stream **stream,
                                          struct error *error)
{
    int pair[2];

    if (world.refuses) {
        error_set(error, "Connection refused");
        return STREAM_FAILED;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    world.server_fds[world.connections++] = pair[1];
    *stream = stream_new(world.loop, pair[0], error);
    return *stream != NULL ? STREAM_OK : STREAM_FAILED;
}

static int set_up(void **state)
{
    static const struct table_options options = { 0 };
    struct error error = { 0 };

    world = (struct world){ .loop = loop_new(&error) };
    table_set_surroundings(&(struct table_surroundings){ .loop = world.loop,
                                                         .server_name = name_server,
                                                         .server_connect = connect_server,
                                                         .argument = &world });
    world.table = table_open(STR("socketmap:inet:localhost:9:map"), &options, &error);
    return world.table == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    table_close(&world.table);
    for (int i = 0; i < world.connections; i++)
        if (world.server_fds[i] >= 0)
            close(world.server_fds[i]);
    loop_free(&world.loop);
    table_set_surroundings(&(struct table_surroundings){ 0 });
    return 0;
}

static void look_up(void *argument)
{
    int number = (int)(intptr_t)argument;
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct str value;
    char key[20];

    snprintf(key, sizeof key, "k%d", number);
    world.outcomes[number] = table_find(world.table, str_from(key), &arena, &value, &error);
    if (world.outcomes[number] == LOOKUP_FOUND)
        snprintf(world.values[number], sizeof world.values[number], "%.*s", STR_ARGS(value));
    if (world.outcomes[number] == LOOKUP_FAILED)
        world.error = error;
    world.done++;
    arena_clear(&arena);
}

static void start_look_up(void)
{
    fiber_start(world.loop, "look-up", look_up, (void *)(intptr_t)world.asked++);
}

static void stop_expired(struct timer *timer)
{
    loop_stop(world.loop);
}

static void run_for(int64_t duration_ms)
{
    struct timer timer = { 0 };

    timer_set(world.loop, &timer, clock_monotonic_ms() + duration_ms, stop_expired);
    loop_run(world.loop);
}

static void expect_request(int connection, const char *text)
{
    char bytes[100] = "";
    ssize_t count = recv(world.server_fds[connection], bytes, sizeof bytes - 1, MSG_DONTWAIT);

    if (count != (ssize_t)strlen(text) || strcmp(bytes, text) != 0)
        fail_msg("connection %d: \"%s\" instead of \"%s\"", connection, bytes, text);
}

static void reply(int connection, const char *text)
{
    assert_int_equal(write(world.server_fds[connection], text, strlen(text)), strlen(text));
}

static void a_look_up_waits_for_its_server_and_the_connection_is_kept(void **state)
{
    start_look_up();
    run_for(20);
    assert_int_equal(world.done, 0);
    expect_request(0, "6:map k0,");
    reply(0, "6:OK ");
    run_for(10);
    assert_int_equal(world.done, 0);
    reply(0, "abc,");
    run_for(20);
    assert_int_equal(world.outcomes[0], LOOKUP_FOUND);
    assert_string_equal(world.values[0], "abc");
    start_look_up();
    run_for(10);
    expect_request(0, "6:map k1,");
    reply(0, "9:NOTFOUND ,");
    run_for(20);
    assert_int_equal(world.done, 2);
    assert_int_equal(world.outcomes[1], LOOKUP_ABSENT);
    assert_int_equal(world.connections, 1);
}

static void a_server_that_closed_meanwhile_is_asked_again(void **state)
{
    start_look_up();
    run_for(10);
    reply(0, "4:OK a,");
    run_for(10);
    close(world.server_fds[0]);
    world.server_fds[0] = -1;
    start_look_up();
    run_for(20);
    assert_int_equal(world.connections, 2);
    expect_request(1, "6:map k1,");
    reply(1, "4:OK b,");
    run_for(20);
    assert_string_equal(world.values[1], "b");
}

static void whatever_goes_wrong_is_a_failure_and_not_absent(void **state)
{
    static const char *const replies[] = { "9:TEMP busy,", "nonsense", "999999:", "4:OK aX" };

    for (size_t i = 0; i < COUNT(replies); i++) {
        start_look_up();
        run_for(10);
        reply(world.connections - 1, replies[i]);
        run_for(10);
        assert_int_equal(world.done, (int)i + 1);
        assert_int_equal(world.outcomes[i], LOOKUP_FAILED);
    }
    world.refuses = true;
    start_look_up();
    run_for(10);
    assert_int_equal(world.outcomes[COUNT(replies)], LOOKUP_FAILED);
    assert_non_null(strstr(world.error.message, "Connection refused"));
}

static void a_silent_server_holds_up_only_who_asked(void **state)
{
    start_look_up();
    run_for(10);
    start_look_up();
    run_for(10);
    reply(1, "4:OK b,");
    run_for(10);
    assert_int_equal(world.done, 1);
    assert_string_equal(world.values[1], "b");
    shutdown(world.server_fds[0], SHUT_RDWR);
    run_for(10);
    assert_int_equal(world.outcomes[0], LOOKUP_FAILED);
}

static void more_look_ups_than_connections_take_turns(void **state)
{
    for (int i = 0; i < 30; i++)
        start_look_up();
    run_for(20);
    assert_int_equal(world.connections, 20);
    for (int round = 0; round < 3 && world.done < 30; round++) {
        for (int i = 0; i < world.connections; i++) {
            char bytes[100];
            if (world.server_fds[i] >= 0 &&
                recv(world.server_fds[i], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
                reply(i, "4:OK x,");
        }
        run_for(20);
    }
    assert_int_equal(world.done, 30);
    for (int i = 0; i < 30; i++)
        assert_int_equal(world.outcomes[i], LOOKUP_FOUND);
}

static void outside_of_fibers_it_fails_at_once(void **state)
{
    struct arena arena = { 0 };
    struct error error = { 0 };
    struct str value;

    assert_int_equal(table_find(world.table, STR("x"), &arena, &value, &error), LOOKUP_FAILED);
    arena_clear(&arena);
}

static void where_nobody_dials_it_does_not_open(void **state)
{
    struct error error = { 0 };

    table_set_surroundings(&(struct table_surroundings){ 0 });
    assert_null(table_open(STR("tcp:localhost:9"), NULL, &error));
    assert_non_null(strstr(error.message, "cannot be used here"));
}

static void proxies_are_approved_by_name(void **state)
{
    struct error error = { 0 };
    struct table_surroundings surroundings = {
        .checks_proxies = true,
        .proxy_read_maps = STR("inline:{ b=c } proxy:inline:{ a=b }, proxy:static:x"),
    };

    table_set_surroundings(&surroundings);
    struct table *table = table_open(STR("proxy:inline:{ a=b }"), NULL, &error);
    assert_non_null(table);
    table_close(&table);
    assert_null(table_open(STR("proxy:inline:{ b=c }"), NULL, &error));
    assert_non_null(strstr(error.message, "proxymap service is not configured for table"));
    table = table_open(STR("inline:{ b=c }"), NULL, &error);
    assert_non_null(table);
    table_close(&table);
}

#define LOOK_UP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_parsed_and_bounded),
        cmocka_unit_test(an_endless_reply_is_cut_off),
        cmocka_unit_test(a_line_end_in_a_key_is_never_sent),
        LOOK_UP_TEST(a_look_up_waits_for_its_server_and_the_connection_is_kept),
        LOOK_UP_TEST(a_server_that_closed_meanwhile_is_asked_again),
        LOOK_UP_TEST(whatever_goes_wrong_is_a_failure_and_not_absent),
        LOOK_UP_TEST(a_silent_server_holds_up_only_who_asked),
        LOOK_UP_TEST(more_look_ups_than_connections_take_turns),
        LOOK_UP_TEST(outside_of_fibers_it_fails_at_once),
        LOOK_UP_TEST(where_nobody_dials_it_does_not_open),
        LOOK_UP_TEST(proxies_are_approved_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
