/* SPDX-License-Identifier: Apache-2.0 */
/* A role's fiber asks for connections; the master's side answers; a socket of the test listens. */
#include "endpoints.h"
#include "user_name.h"

#include "base/clock.h"
#include "base/file.h"
#include "wire/connector.h"
#include "wire/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct scene {
    struct loop *loop;
    struct channel *role, *master;
    struct connector *connector;
    struct endpoints *endpoints;
    bool is_silent;
    bool has_child, is_busy;
    uint32_t uid;
    struct buf name;
    bool is_known;
    bool was_refused;
    struct sockaddr_in address;
    int listener;
    uint32_t endpoint;
    int64_t patience_ms;
    enum stream_outcome outcome;
    struct error error;
};

static bool role_received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    struct scene *scene = owner;

    (void)channel;
    if (number == WIRE_control_connected)
        return connector_connected(scene->connector, payload);
    assert_int_equal(number, WIRE_control_not_connected);
    return connector_not_connected(scene->connector, payload);
}

static bool master_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct scene *scene = owner;
    bool is_fine;

    if (number == WIRE_control_endpoint)
        is_fine = endpoints_name(scene->endpoints, channel, payload);
    else if (number == WIRE_control_ask_user)
        is_fine = user_name_ask(channel, payload, !scene->is_busy, &scene->has_child);
    else
        is_fine = scene->is_silent || endpoints_connect(scene->endpoints, channel, payload);
    scene->was_refused = scene->was_refused || !is_fine;
    return is_fine;
}

static void closed(void *owner, struct channel *channel, const char *reason)
{
    (void)owner, (void)channel, (void)reason;
}

static const struct channel_events role_events = { role_received, closed };
static const struct channel_events master_events = { master_received, closed };

static int set_up(void **state)
{
    static struct scene scene;
    struct error error;
    socklen_t len = sizeof scene.address;
    int pair[2];

    scene = (struct scene){ .patience_ms = 5000 };
    scene.loop = loop_new(&error);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    scene.role = channel_new(scene.loop, pair[0], &role_events, &scene, &error);
    scene.master = channel_new(scene.loop, pair[1], &master_events, &scene, &error);
    scene.connector = connector_new(scene.loop, scene.role);
    scene.endpoints = endpoints_new();
    scene.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    scene.address =
        (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(bind(scene.listener, (struct sockaddr *)&scene.address, sizeof scene.address),
                     0);
    assert_int_equal(getsockname(scene.listener, (struct sockaddr *)&scene.address, &len), 0);
    assert_int_equal(listen(scene.listener, 4), 0);
    assert_true(connector_name(scene.connector, (struct sockaddr *)&scene.address,
                               sizeof scene.address, &scene.endpoint));
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    connector_free(&scene->connector);
    endpoints_free(&scene->endpoints);
    channel_free(&scene->role);
    channel_free(&scene->master);
    loop_free(&scene->loop);
    fd_close(&scene->listener);
    buf_free(&scene->name);
    return 0;
}

static void ask_name(void *argument)
{
    struct scene *scene = argument;

    scene->is_known = connector_ask_user(scene->connector, scene->uid,
                                         loop_now_ms(scene->loop) + scene->patience_ms,
                                         &scene->name, &scene->error);
    loop_stop(scene->loop);
}

static void run_ask_name(struct scene *scene, uint32_t uid)
{
    scene->uid = uid;
    fiber_start(scene->loop, "asks", ask_name, scene);
    loop_run(scene->loop);
}

static void ask(void *argument)
{
    struct scene *scene = argument;
    struct stream *stream = NULL;

    scene->outcome =
        connector_connect(scene->connector, scene->endpoint,
                          loop_now_ms(scene->loop) + scene->patience_ms, &stream, &scene->error);
    if (scene->outcome == STREAM_OK) {
        assert_int_equal(stream_write(stream, STR("hello"), DEADLINE_NEVER), STREAM_OK);
        assert_int_equal(stream_flush(stream, DEADLINE_NEVER), STREAM_OK);
        stream_free(&stream);
    }
    loop_stop(scene->loop);
}

static void run(struct scene *scene)
{
    fiber_start(scene->loop, "asks", ask, scene);
    loop_run(scene->loop);
}

static void a_named_server_is_connected_to(void **state)
{
    struct scene *scene = *state;
    char text[8] = "";

    run(scene);
    assert_int_equal(scene->outcome, STREAM_OK);
    autoclose int accepted = accept(scene->listener, NULL, NULL);
    assert_int_equal(read(accepted, text, sizeof text), 5);
    assert_string_equal(text, "hello");
}

static void a_server_that_is_down_is_a_refused_connection(void **state)
{
    struct scene *scene = *state;

    fd_close(&scene->listener);
    run(scene);
    assert_int_equal(scene->outcome, STREAM_FAILED);
    assert_int_equal(scene->error.system_errno, ECONNREFUSED);
}

static void a_silent_master_is_a_timeout(void **state)
{
    struct scene *scene = *state;

    scene->is_silent = true;
    scene->patience_ms = 20;
    run(scene);
    assert_int_equal(scene->outcome, STREAM_TIMEOUT);
}

static void a_server_that_was_not_named_ends_the_channel(void **state)
{
    struct scene *scene = *state;

    scene->endpoint++;
    scene->patience_ms = 20;
    run(scene);
    assert_int_equal(scene->outcome, STREAM_TIMEOUT);
    assert_true(scene->was_refused);
    assert_true(channel_is_closed(scene->master));
}

static void an_address_longer_than_any_is_refused(void **state)
{
    struct scene *scene = *state;
    char address[sizeof(struct sockaddr_storage) + 1] = { 0 };
    uint32_t number;

    assert_true(
        connector_name(scene->connector, (struct sockaddr *)address, sizeof address, &number));
    scene->patience_ms = 20;
    run(scene);
    assert_true(scene->was_refused);
}

static void the_same_server_is_named_once_and_too_many_are_refused(void **state)
{
    struct scene *scene = *state;
    struct sockaddr_in address = scene->address;
    uint32_t number;

    assert_true(
        connector_name(scene->connector, (struct sockaddr *)&address, sizeof address, &number));
    assert_int_equal(number, scene->endpoint);
    for (uint16_t i = 1; i < CONNECTOR_NAMES_MAX; i++) {
        address.sin_port = htons(i);
        assert_true(
            connector_name(scene->connector, (struct sockaddr *)&address, sizeof address, &number));
    }
    address.sin_port = htons(CONNECTOR_NAMES_MAX);
    assert_false(
        connector_name(scene->connector, (struct sockaddr *)&address, sizeof address, &number));
    scene->patience_ms = 2000;
    run(scene);
    assert_int_equal(scene->outcome, STREAM_OK);
    assert_false(scene->was_refused);
}

static void a_user_has_the_name_of_the_system(void **state)
{
    struct scene *scene = *state;
    int status;

    run_ask_name(scene, 0);
    if (!scene->is_known)
        fail_msg("%s", scene->error.message);
    assert_string_equal(buf_text(&scene->name), "root");
    assert_true(scene->has_child);
    assert_true(waitpid(-1, &status, 0) > 0);
    assert_int_equal(status, 0);
}

static void a_number_that_nobody_has_is_no_name(void **state)
{
    struct scene *scene = *state;

    run_ask_name(scene, 2012345678);
    if (!scene->is_known)
        fail_msg("%s", scene->error.message);
    assert_string_equal(buf_text(&scene->name), "");
    assert_true(waitpid(-1, NULL, 0) > 0);
}

static void a_busy_master_is_no_answer(void **state)
{
    struct scene *scene = *state;

    scene->is_busy = true;
    run_ask_name(scene, 0);
    assert_false(scene->is_known);
    assert_false(scene->has_child);
    assert_non_null(strstr(scene->error.message, "user id 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_named_server_is_connected_to),
        TEST(a_server_that_is_down_is_a_refused_connection),
        TEST(a_silent_master_is_a_timeout),
        TEST(a_server_that_was_not_named_ends_the_channel),
        TEST(an_address_longer_than_any_is_refused),
        TEST(a_user_has_the_name_of_the_system),
        TEST(a_number_that_nobody_has_is_no_name),
        TEST(a_busy_master_is_no_answer),
        TEST(the_same_server_is_named_once_and_too_many_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
