/* SPDX-License-Identifier: Apache-2.0 */
/* A fiber asks peers that come, are replaced and go; the test plays them. */
#include "wire/asker.h"

#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { PEERS = 2, PATIENCE_MS = 5000, GIVES_UP_MS = 50 };

struct scene;
struct played_peer {
    struct scene *scene;
    struct channel *channel;
    uint64_t asked; /* the number of the last question; 0: none */
};

struct scene {
    struct loop *loop;
    struct asker asker;
    struct played_peer peers[PEERS];
    uint64_t bound_to; /* what the question is bound to */
    int64_t patience_ms;
    struct question question;
    bool is_answered, has_asked;
    void (*on_asked)(struct scene *scene, struct played_peer *peer);
    struct timer timer;
};

static bool answer_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct wire_anvil_counted message;

    assert_int_equal(number, WIRE_anvil_counted);
    assert_true(wire_decode_anvil_counted(channel, payload, &message));
    struct question *found = asker_find(owner, message.query);
    if (found != NULL)
        asker_answered(found);
    return true;
}

static void send_question(struct channel *channel, struct question *question)
{
    wire_send_anvil_count(channel, &(struct wire_anvil_count){ .query = question->id });
}

static bool question_received(void *owner, struct channel *channel, uint16_t number,
                              struct str payload)
{
    struct played_peer *peer = owner;
    struct wire_anvil_count message;

    assert_int_equal(number, WIRE_anvil_count);
    assert_true(wire_decode_anvil_count(channel, payload, &message));
    peer->asked = message.query;
    peer->scene->on_asked(peer->scene, peer);
    return true;
}

static void closed(void *owner, struct channel *channel, const char *reason)
{
    (void)owner;
    (void)channel;
    (void)reason;
}

static const struct channel_events events = { question_received, closed };

static void answer(struct scene *scene, struct played_peer *peer)
{
    (void)scene;
    wire_send_anvil_counted(peer->channel, &(struct wire_anvil_counted){ .query = peer->asked });
}

static void attach(struct scene *scene, int number)
{
    struct played_peer *peer = &scene->peers[number];
    struct error error;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer->scene = scene;
    peer->channel = channel_new(scene->loop, pair[1], &events, peer, &error);
    assert_non_null(peer->channel);
    assert_true(asker_attach(&scene->asker, pair[0], &error));
}

static void ask(void *argument)
{
    struct scene *scene = argument;

    scene->question = (struct question){ .peer = scene->bound_to };
    scene->is_answered = asker_ask(&scene->asker, &scene->question, "an answer",
                                   loop_now_ms(scene->loop) + scene->patience_ms);
    scene->has_asked = true;
    loop_stop(scene->loop);
}

static int open_scene(void **state)
{
    static struct scene scene;
    struct error error;

    scene = (struct scene){ .patience_ms = PATIENCE_MS, .on_asked = answer };
    scene.loop = loop_new(&error);
    asker_init(&scene.asker, &(struct asker_options){ .loop = scene.loop,
                                                      .peer = "the test",
                                                      .received = answer_received,
                                                      .send = send_question });
    *state = &scene;
    return 0;
}

static int close_scene(void **state)
{
    struct scene *scene = *state;

    asker_clear(&scene->asker);
    for (int i = 0; i < PEERS; i++)
        if (scene->peers[i].channel != NULL)
            channel_free(&scene->peers[i].channel);
    timer_clear(scene->loop, &scene->timer);
    loop_free(&scene->loop);
    return 0;
}

static void run(struct scene *scene)
{
    (void)fiber_start(scene->loop, "ask", ask, scene);
    loop_run(scene->loop);
    assert_true(scene->has_asked);
}

static void later(struct scene *scene, void (*expired)(struct timer *timer))
{
    timer_set(scene->loop, &scene->timer, loop_now_ms(scene->loop) + 1, expired);
}

/* ---- a peer that is replaced ---- */

static void answer_after_successor(struct scene *scene, struct played_peer *peer)
{
    attach(scene, 1);
    answer(scene, peer);
}

static void a_peer_that_was_replaced_answers_what_it_was_asked(void **state)
{
    struct scene *scene = *state;

    attach(scene, 0);
    scene->on_asked = answer_after_successor;
    run(scene);
    assert_true(scene->is_answered);
    assert_int_equal(scene->peers[1].asked, 0);
    assert_int_equal(scene->question.peer, 1);
}

static void new_questions_go_to_the_successor(void **state)
{
    struct scene *scene = *state;

    attach(scene, 0);
    attach(scene, 1);
    run(scene);
    assert_true(scene->is_answered);
    assert_int_equal(scene->peers[0].asked, 0);
    assert_int_equal(scene->question.peer, 2);
}

static void a_bound_question_goes_to_its_peer_though_replaced(void **state)
{
    struct scene *scene = *state;

    attach(scene, 0);
    attach(scene, 1);
    scene->bound_to = 1;
    run(scene);
    assert_true(scene->is_answered);
    assert_int_equal(scene->peers[1].asked, 0);
}

/* ---- a peer that goes ---- */

static void end_first(struct timer *timer)
{
    struct scene *scene = list_entry(timer, struct scene, timer);

    channel_free(&scene->peers[0].channel);
}

static void go_without_an_answer(struct scene *scene, struct played_peer *peer)
{
    if (peer == &scene->peers[0])
        later(scene, end_first);
    else
        answer(scene, peer);
}

static void what_a_peer_left_unanswered_goes_to_its_successor(void **state)
{
    struct scene *scene = *state;

    attach(scene, 1);
    attach(scene, 0);
    scene->on_asked = go_without_an_answer;
    run(scene);
    assert_true(scene->is_answered);
    assert_int_equal(scene->peers[1].asked, scene->question.id);
}

static void a_bound_question_is_lost_with_its_peer(void **state)
{
    struct scene *scene = *state;

    attach(scene, 0);
    attach(scene, 1);
    scene->on_asked = go_without_an_answer;
    scene->bound_to = 1;
    run(scene);
    assert_false(scene->is_answered);
    assert_true(scene->question.is_lost);
    assert_int_equal(scene->peers[1].asked, 0);
    scene->has_asked = false;
    run(scene); /* nor is there anybody to ask */
    assert_true(scene->question.is_lost);
}

/* ---- nobody there ---- */

static void attach_first(struct timer *timer)
{
    attach(list_entry(timer, struct scene, timer), 0);
}

static void a_question_waits_for_a_peer(void **state)
{
    struct scene *scene = *state;

    later(scene, attach_first);
    run(scene);
    assert_true(scene->is_answered);
}

static void a_question_is_given_up_when_nobody_comes(void **state)
{
    struct scene *scene = *state;

    scene->patience_ms = GIVES_UP_MS;
    run(scene);
    assert_false(scene->is_answered);
    assert_false(scene->question.is_lost);
}

int main(void)
{
#define SCENE_TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
    const struct CMUnitTest tests[] = {
        SCENE_TEST(a_peer_that_was_replaced_answers_what_it_was_asked),
        SCENE_TEST(new_questions_go_to_the_successor),
        SCENE_TEST(a_bound_question_goes_to_its_peer_though_replaced),
        SCENE_TEST(what_a_peer_left_unanswered_goes_to_its_successor),
        SCENE_TEST(a_bound_question_is_lost_with_its_peer),
        SCENE_TEST(a_question_waits_for_a_peer),
        SCENE_TEST(a_question_is_given_up_when_nobody_comes),
    };
    return cmocka_run_group_tests_name("wire/asker", tests, NULL, NULL);
}
