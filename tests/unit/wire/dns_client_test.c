/* SPDX-License-Identifier: Apache-2.0 */
/* A fiber asks over a channel; the test answers at the other end. */
#include "base/clock.h"
#include "base/ensure.h"
#include "net/dns.h"
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

enum manner { ANSWERS, IS_SILENT, TALKS_RUBBISH };

struct scene {
    struct loop *loop;
    struct dns_client *client;
    struct channel *resolver;
    enum manner manner;
    int asked;
    struct dns_answer answer;
    struct arena arena;
    struct str name;
    int64_t patience_ms;
};

static bool asked(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    struct scene *scene = owner;
    struct wire_resolve_query query;
    autofree_buf struct buf records = { 0 };
    struct dns_record record = { .preference = 10, .name = STR("mx.example"), .data = STR("") };

    assert_int_equal(number, WIRE_resolve_query);
    assert_true(wire_decode_resolve_query(channel, payload, &query));
    scene->asked++;
    if (scene->manner == IS_SILENT)
        return true;
    dns_records_encode(&record, 1, &records);
    struct wire_resolve_answer answer = {
        .query = query.query,
        .outcome = scene->manner == ANSWERS ? DNS_FOUND : 99,
        .ttl_s = 60,
        .records = buf_str(&records),
    };
    /* An answer to a question nobody asked is nobody's business. */
    struct wire_resolve_answer stray = answer;
    stray.query += 1000;
    stray.outcome = DNS_NO_NAME;
    wire_send_resolve_answer(channel, &stray);
    wire_send_resolve_answer(channel, &answer);
    wire_send_resolve_answer(channel, &answer);
    return true;
}

static void closed(void *owner, struct channel *channel, const char *reason)
{
    (void)owner;
    (void)channel;
    (void)reason;
}

static const struct channel_events events = { asked, closed };

static void attach(struct scene *scene)
{
    struct error error;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    if (scene->resolver != NULL)
        channel_free(&scene->resolver);
    scene->resolver = channel_new(scene->loop, pair[1], &events, scene, &error);
    assert_non_null(scene->resolver);
    assert_true(dns_client_attach(scene->client, pair[0], &error));
}

static void ask(void *argument)
{
    struct scene *scene = argument;

    dns_query(scene->client, &scene->arena, DNS_MX, scene->name,
              loop_now_ms(scene->loop) + scene->patience_ms, &scene->answer);
    loop_stop(scene->loop);
}

static void open_scene(struct scene *scene, enum manner manner)
{
    struct error error;

    *scene = (struct scene){ .manner = manner, .name = STR("example.com"), .patience_ms = 200 };
    scene->loop = loop_new(&error);
    scene->client = dns_client_new(scene->loop);
}

static void close_scene(struct scene *scene)
{
    dns_client_free(&scene->client);
    if (scene->resolver != NULL)
        channel_free(&scene->resolver);
    arena_clear(&scene->arena);
    loop_free(&scene->loop);
}

static void run(struct scene *scene)
{
    (void)fiber_start(scene->loop, "ask", ask, scene);
    loop_run(scene->loop);
}

static void answer_comes_back_to_who_asked(void **state)
{
    struct scene scene;

    open_scene(&scene, ANSWERS);
    attach(&scene);
    run(&scene);
    assert_int_equal(scene.answer.outcome, DNS_FOUND);
    assert_int_equal(scene.answer.record_count, 1);
    assert_true(str_equal(scene.answer.records[0].name, STR("mx.example")));
    close_scene(&scene);
}

static void silence_means_try_again(void **state)
{
    struct scene scene;

    open_scene(&scene, IS_SILENT);
    attach(&scene);
    run(&scene);
    assert_int_equal(scene.asked, 1);
    assert_int_equal(scene.answer.outcome, DNS_TRY_AGAIN);
    close_scene(&scene);
}

static void no_resolver_means_try_again(void **state)
{
    struct scene scene;

    open_scene(&scene, ANSWERS);
    run(&scene);
    assert_int_equal(scene.answer.outcome, DNS_TRY_AGAIN);
    close_scene(&scene);
}

static void rubbish_closes_the_channel_and_means_try_again(void **state)
{
    struct scene scene;

    open_scene(&scene, TALKS_RUBBISH);
    attach(&scene);
    run(&scene);
    assert_int_equal(scene.answer.outcome, DNS_TRY_AGAIN);
    close_scene(&scene);
}

struct replacement {
    struct timer timer;
    struct scene *scene;
};

static void replace_resolver(struct timer *timer)
{
    struct replacement *replacement = list_entry(timer, struct replacement, timer);

    replacement->scene->manner = ANSWERS;
    attach(replacement->scene);
}

static void open_questions_go_to_the_next_resolver(void **state)
{
    struct scene scene;
    struct replacement replacement = { .scene = &scene };

    open_scene(&scene, IS_SILENT);
    scene.patience_ms = 5000;
    attach(&scene);
    timer_set(scene.loop, &replacement.timer, clock_monotonic_ms() + 50, replace_resolver);
    run(&scene);
    assert_int_equal(scene.asked, 2);
    assert_int_equal(scene.answer.outcome, DNS_FOUND);
    close_scene(&scene);
}

static void impossible_name_is_not_asked(void **state)
{
    struct scene scene;

    open_scene(&scene, ANSWERS);
    attach(&scene);
    scene.name = STR("a b");
    run(&scene);
    assert_int_equal(scene.asked, 0);
    assert_int_equal(scene.answer.outcome, DNS_BAD_NAME);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answer_comes_back_to_who_asked),
        cmocka_unit_test(silence_means_try_again),
        cmocka_unit_test(no_resolver_means_try_again),
        cmocka_unit_test(rubbish_closes_the_channel_and_means_try_again),
        cmocka_unit_test(open_questions_go_to_the_next_resolver),
        cmocka_unit_test(impossible_name_is_not_asked),
    };

    return cmocka_run_group_tests_name("dns_client", tests, NULL, NULL);
}
