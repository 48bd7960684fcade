/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole session of the client against arbitrary bytes from a server: two transactions, then
 * QUIT. Whatever comes, every recipient has exactly one result, and none counts as delivered
 * unless the server said 354 and something positive.
 */
#include "delivery.h"
#include "dialogue.h"
#include "report.h"
#include "tls_policy.h"
#include "world.h"

#include "base/clock.h"
#include "base/ensure.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECIPIENTS = 3, INPUT_BYTES_MAX = 60 * 1000 };

struct play {
    struct world world;
    struct buf envelope;
    bool is_open;
};

struct scene {
    struct play *play;
    struct session *session;
    int server_fd;
};

static void open_play(struct play *play)
{
    autoclear_arena struct arena arena = { 0 };
    struct envelope envelope = { .sender = STR("s@a.example"),
                                 .size_bytes = 20,
                                 .arrival_us = clock_wall_us() };

    world_open(&play->world, "smtp_skip_quit_response = no\n");
    for (int i = 0; i < RECIPIENTS; i++) {
        struct recipient recipient = { .address = STR("r@b.example") };
        (void)envelope_add_recipient(&arena, &envelope, &recipient);
    }
    envelope_encode(&envelope, &play->envelope);
    play->is_open = true;
}

static struct delivery *new_delivery(struct play *play)
{
    struct worker *worker = &play->world.worker;
    struct wire_deliver_job job = { .job = 1,
                                    .transport = STR("smtp"),
                                    .nexthop = STR("[192.0.2.1]"),
                                    .envelope = buf_str(&play->envelope),
                                    .content = STR("Subject: x\r\n\r\n.y\r\n") };
    struct delivery *delivery = delivery_new(worker, &job);
    struct error error;

    ensure(delivery != NULL);
    delivery->transport = transport_get(&worker->transports, STR("smtp"), &error);
    ensure(delivery->transport != NULL);
    return delivery;
}

static void finish(struct delivery *delivery)
{
    for (size_t i = 0; i < RECIPIENTS; i++) {
        const struct attempt *attempt = &delivery->attempts[i];
        if (attempt->progress == PROGRESS_SETTLED)
            continue;
        if (attempt->failure != NULL)
            report_failed(delivery, i, attempt->failure, NULL);
        else
            report_undone(delivery, i);
    }
    report_done(delivery);
    delivery_free(&delivery);
}

static void converse(void *argument)
{
    struct scene *scene = argument;
    struct session *session = scene->session;
    struct delivery *delivery = new_delivery(scene->play);
    const struct failure *failure;
    /* Wants TLS and cannot: STARTTLS is never sent, the rest is as in clear. */
    static const struct tls_policy policy = { .level = TLS_LEVEL_MAY };

    session->tls_policy = &policy;
    if (dialogue_greet(session, delivery, &failure)) {
        dialogue_transact(session, delivery);
        finish(delivery);
        delivery = new_delivery(scene->play);
        if (!session->must_close && (session->phase == PHASE_READY || dialogue_reset(session)))
            dialogue_transact(session, delivery);
    } else {
        ensure(failure != NULL);
    }
    finish(delivery);
    dialogue_quit(session);
    session_free(&scene->session);
    loop_stop(scene->play->world.loop);
}

static size_t count(struct str text, struct str part)
{
    size_t found = 0;

    for (ptrdiff_t at; (at = str_find(text, part)) >= 0; found++)
        text = str_skip(text, (size_t)at + part.len);
    return found;
}

static void check_results(struct play *play, struct str input)
{
    struct str results = buf_str(&play->world.results);
    size_t sent = count(results, STR(" sent "));

    if (sent > 0)
        ensure(count(input, STR("354")) > 0 && count(input, STR("\n2")) > 0);
    ensure(sent + count(results, STR(" deferred ")) + count(results, STR(" bounced ")) +
               count(results, STR(" undone ")) >=
           RECIPIENTS);
    buf_clear(&play->world.results);
    buf_clear(&play->world.lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct play play; /* a fuzzer has no end at which it could be taken down */
    struct scene scene = { .play = &play };
    struct target target = { .host = STR("mx.b.example") };
    struct error error;
    int pair[2];

    if (size > INPUT_BYTES_MAX)
        return 0;
    if (!play.is_open)
        open_play(&play);
    ensure(net_address_parse(STR("192.0.2.1"), 25, &target.address));
    ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    ensure(size == 0 || write(pair[1], data, size) == (ssize_t)size);
    ensure(shutdown(pair[1], SHUT_WR) == 0);
    struct stream *stream = stream_new(play.world.loop, pair[0], &error);
    ensure(stream != NULL);
    struct delivery *delivery = new_delivery(&play);
    scene.session = session_new(play.world.loop, stream, delivery->transport, &target);
    delivery_free(&delivery);
    (void)fiber_start(play.world.loop, "session", converse, &scene);
    loop_run(play.world.loop);
    world_idle(&play.world, 0);
    world_read_log(&play.world);
    close(pair[1]);
    check_results(&play, str_of((const char *)data, size));
    return 0;
}
