/* SPDX-License-Identifier: Apache-2.0 */
#include "net/channel.h"

#include "base/memory.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

enum { NUMBER = 7, PATIENCE_MS = 5000 };

/* One end, and what it got. */
struct end {
    struct channel *channel;
    struct loop *loop;
    int frames;
    int stop_at_frames; /* stops the loop */
    size_t bytes;
    uint16_t last_number;
    int fds;
    int closed;
    char reason[100];
    bool refuses;
    bool answers;
    bool takes_fds;
    ino_t expected_inodes[200];
    bool is_in_call;
};

struct fixture {
    struct loop *loop;
    struct end a, b;
    int raw; /* b's descriptor where a test plays the peer itself */
    struct error error;
};

static void send_bytes(struct channel *channel, uint16_t number, struct str payload)
{
    buf_append(channel_frame_start(channel, number), payload);
    channel_frame_end(channel);
}

static void check_payload(struct str payload)
{
    for (size_t i = 0; i < payload.len; i += 997)
        assert_int_equal((unsigned char)payload.ptr[i], (payload.len + i) & 0xff);
}

static void send_pattern(struct channel *channel, size_t len)
{
    struct buf *frame = channel_frame_start(channel, NUMBER);
    char *room = buf_reserve(frame, len);

    for (size_t i = 0; i < len; i++)
        room[i] = (char)(len + i);
    buf_commit(frame, len);
    channel_frame_end(channel);
}

static void take_all_fds(struct end *end)
{
    int fd;

    while ((fd = channel_take_fd(end->channel)) >= 0) {
        struct stat status;
        assert_int_equal(fstat(fd, &status), 0);
        assert_int_equal(status.st_ino, end->expected_inodes[end->fds]);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        end->fds++;
        close(fd);
    }
}

static bool received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    struct end *end = owner;

    assert_false(end->is_in_call);
    end->is_in_call = true;
    end->frames++;
    end->bytes += payload.len;
    end->last_number = number;
    if (number == NUMBER)
        check_payload(payload);
    if (end->takes_fds)
        take_all_fds(end);
    if (end->answers)
        send_bytes(channel, number + 1, payload);
    if (end->frames == end->stop_at_frames)
        loop_stop(end->loop);
    end->is_in_call = false;
    return !end->refuses;
}

static void closed(void *owner, struct channel *channel, const char *reason)
{
    struct end *end = owner;

    assert_false(end->is_in_call);
    assert_true(channel_is_closed(channel));
    end->closed++;
    snprintf(end->reason, sizeof end->reason, "%s", reason);
    channel_free(&end->channel);
    loop_stop(end->loop);
}

static const struct channel_events events = { received, closed };

static int set_up_raw(void **state)
{
    static struct fixture f;
    int fds[2];

    f = (struct fixture){ .loop = loop_new(&f.error), .raw = -1 };
    *state = &f;
    if (f.loop == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -1;
    f.a.loop = f.b.loop = f.loop;
    f.a.channel = channel_new(f.loop, fds[0], &events, &f.a, &f.error);
    f.raw = fds[1];
    return f.a.channel != NULL ? 0 : -1;
}

static int set_up(void **state)
{
    if (set_up_raw(state) != 0)
        return -1;
    struct fixture *f = *state;
    f->b.channel = channel_new(f->loop, f->raw, &events, &f->b, &f->error);
    f->raw = -1;
    return f->b.channel != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    channel_free(&f->a.channel);
    channel_free(&f->b.channel);
    if (f->raw >= 0)
        close(f->raw);
    loop_free(&f->loop);
    return 0;
}

/* ---- frames ---- */

static void frames_arrive_in_order_and_answers_return(void **state)
{
    struct fixture *f = *state;

    f->b.answers = true;
    f->a.stop_at_frames = 3;
    send_bytes(f->a.channel, 10, STR("one"));
    send_bytes(f->a.channel, 20, STR(""));
    send_bytes(f->a.channel, 30, STR("three"));
    assert_int_equal(f->b.frames, 0); /* nothing leaves before the loop sleeps */
    loop_run(f->loop);
    assert_int_equal(f->b.frames, 3);
    assert_int_equal(f->b.bytes, 8);
    assert_int_equal(f->a.frames, 3);
    assert_int_equal(f->a.last_number, 31);
    assert_int_equal(channel_unsent_bytes(f->a.channel), 0);
}

static void frames_of_every_size_arrive_whole(void **state)
{
    static const size_t sizes[] = { 0,      1,      7,       8,
                                    4095,   16376,  16384,   65536,
                                    262144, 300000, 1048576, CHANNEL_FRAME_MAX - 1,
                                    3,      100000, 0,       CHANNEL_FRAME_MAX };
    struct fixture *f = *state;
    size_t total = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        send_pattern(f->a.channel, sizes[i]);
        total += sizes[i];
    }
    f->b.stop_at_frames = sizeof sizes / sizeof *sizes;
    loop_run(f->loop);
    assert_int_equal(f->b.bytes, total);
}

static void *dribble(void *argument)
{
    struct fixture *f = argument;
    static const char frames[] = "\3\0\0\0\x0a\0\0\0abc"
                                 "\0\0\0\0\x0b\0\0\0"
                                 "\1\0\0\0\x0c\0\0\0z";

    for (size_t i = 0; i < sizeof frames - 1; i++) {
        assert_int_equal(write(f->raw, frames + i, 1), 1);
        usleep(500);
    }
    return NULL;
}

static void frames_that_come_byte_by_byte_are_whole(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;

    f->a.stop_at_frames = 3;
    pthread_create(&thread, NULL, dribble, f);
    loop_run(f->loop);
    pthread_join(thread, NULL);
    assert_int_equal(f->a.bytes, 4);
    assert_int_equal(f->a.last_number, 12);
}

struct late_sender {
    struct before_sleep hook;
    struct channel *channel;
    int remaining;
};

static void send_late(struct before_sleep *hook)
{
    struct late_sender *sender = list_entry(hook, struct late_sender, hook);

    if (sender->remaining-- > 0)
        send_bytes(sender->channel, 1, STR("late"));
}

static void frame_of_a_hook_that_runs_after_the_flush_is_not_left_behind(void **state)
{
    struct fixture *f = *state;
    struct late_sender sender = { .channel = f->a.channel, .remaining = 2 };

    loop_before_sleep(f->loop, &sender.hook, send_late);
    f->b.stop_at_frames = 3;
    send_bytes(f->a.channel, 1, STR("early"));
    loop_run(f->loop);
    assert_int_equal(f->b.frames, 3);
    before_sleep_remove(&sender.hook);
}

/* ---- descriptors ---- */

static void descriptors_come_with_their_frames_in_order(void **state)
{
    struct fixture *f = *state;
    enum { FDS = 200 };

    f->b.takes_fds = true;
    f->b.stop_at_frames = FDS;
    for (int i = 0; i < FDS; i++) {
        int pair[2];
        struct stat status;
        assert_int_equal(pipe(pair), 0);
        assert_int_equal(fstat(pair[0], &status), 0);
        f->b.expected_inodes[i] = status.st_ino;
        buf_append(channel_frame_start(f->a.channel, 9), STR("with a descriptor"));
        channel_attach_fd(f->a.channel, pair[i % 2]);
        channel_frame_end(f->a.channel);
        close(pair[0]);
        close(pair[1]);
        if (i % 50 == 20)
            send_pattern(f->a.channel, 100000);
    }
    f->b.stop_at_frames += 4;
    loop_run(f->loop);
    assert_int_equal(f->b.fds, FDS);
    assert_int_equal(f->b.frames, FDS + 4);
}

static void descriptors_that_nobody_takes_are_closed(void **state)
{
    struct fixture *f = *state;
    int pair[2];
    char byte;

    assert_int_equal(pipe(pair), 0);
    channel_frame_start(f->a.channel, 9);
    channel_attach_fd(f->a.channel, pair[1]);
    channel_frame_end(f->a.channel);
    close(pair[1]);
    send_bytes(f->a.channel, 10, STR(""));
    f->b.stop_at_frames = 2;
    loop_run(f->loop);
    assert_int_equal(read(pair[0], &byte, 1), 0); /* no writer is left anywhere */
    close(pair[0]);
}

/* ---- what a hostile or dying peer does ---- */

static void write_raw(struct fixture *f, struct str bytes)
{
    assert_int_equal(write(f->raw, bytes.ptr, bytes.len), bytes.len);
}

static void frame_beyond_the_limit_closes(void **state)
{
    struct fixture *f = *state;

    write_raw(f, STR("\1\0\x40\0\1\0\0\0"));
    loop_run(f->loop);
    assert_int_equal(f->a.closed, 1);
    assert_string_equal(f->a.reason, "the peer sent a frame beyond the limit");
}

static void frame_that_promises_a_missing_descriptor_closes(void **state)
{
    struct fixture *f = *state;

    write_raw(f, STR("\0\0\0\0\1\0\1\0"));
    loop_run(f->loop);
    assert_string_equal(f->a.reason, "the peer sent a frame without its file descriptor");
    assert_int_equal(f->a.frames, 0);
}

static void refused_message_closes_and_later_frames_are_not_handled(void **state)
{
    struct fixture *f = *state;

    f->a.refuses = true;
    write_raw(f, STR("\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0"));
    loop_run(f->loop);
    assert_int_equal(f->a.frames, 1);
    assert_int_equal(f->a.closed, 1);
    assert_string_equal(f->a.reason, "the peer sent a message that is not understood");
}

static void frames_before_the_end_are_handled(void **state)
{
    struct fixture *f = *state;

    write_raw(f, STR("\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\5\0\0"));
    close(f->raw);
    f->raw = -1;
    loop_run(f->loop);
    assert_int_equal(f->a.frames, 2);
    assert_int_equal(f->a.closed, 1);
    assert_string_equal(f->a.reason, "the peer closed the channel");
}

static void sending_to_a_peer_that_is_gone_closes_once_and_outside_of_the_call(void **state)
{
    struct fixture *f = *state;

    write_raw(f, STR("\0\0\0\0\1\0\0\0"));
    close(f->raw);
    f->raw = -1;
    for (int i = 0; i < 3; i++) {
        send_bytes(f->a.channel, 1, STR("into the void"));
        channel_flush(f->a.channel);
        assert_int_equal(f->a.closed, 0);
    }
    loop_run(f->loop);
    assert_int_equal(f->a.frames, 1); /* what it said before it went */
    assert_int_equal(f->a.closed, 1);
}

static void peer_of_a_channel_that_closed_closes_too(void **state)
{
    struct fixture *f = *state;

    f->b.refuses = true;
    send_bytes(f->a.channel, 1, STR("x"));
    loop_run(f->loop);
    assert_int_equal(f->b.closed, 1);
    loop_run(f->loop);
    assert_int_equal(f->a.closed, 1);
}

/* ---- room ---- */

static void send_bulk(void *argument)
{
    struct fixture *f = argument;

    for (int i = 0; i < 64; i++) {
        send_pattern(f->a.channel, 200000);
        assert_int_equal(channel_wait_room(f->a.channel, loop_now_ms(f->loop) + PATIENCE_MS),
                         WAKE_READY);
        assert_true(channel_unsent_bytes(f->a.channel) < CHANNEL_ROOM_BYTES);
    }
}

static void waiting_for_room_bounds_what_is_unsent(void **state)
{
    struct fixture *f = *state;

    f->b.stop_at_frames = 64;
    fiber_start(f->loop, "bulk", send_bulk, f);
    loop_run(f->loop);
    assert_int_equal(f->b.frames, 64);
    assert_int_equal(fiber_count(f->loop), 0);
}

static void send_until_stuck(void *argument)
{
    struct fixture *f = argument;

    for (int i = 0; i < 10; i++)
        send_pattern(f->a.channel, 400000);
    assert_int_equal(channel_wait_room(f->a.channel, loop_now_ms(f->loop) + 20), WAKE_TIMEOUT);
    close(f->raw);
    f->raw = -1;
    assert_int_equal(channel_wait_room(f->a.channel, DEADLINE_NEVER), WAKE_READY);
    assert_true(channel_is_closed(f->a.channel));
    send_bytes(f->a.channel, 1, STR("dropped"));
}

static void waiting_for_room_ends_at_the_deadline_and_when_the_peer_goes(void **state)
{
    struct fixture *f = *state;

    fiber_start(f->loop, "bulk", send_until_stuck, f);
    loop_run(f->loop);
    assert_int_equal(f->a.closed, 1);
    assert_int_equal(fiber_count(f->loop), 0);
}

/* ---- tools ---- */

static void *tool(void *argument)
{
    struct fixture *f = argument;
    struct error error;
    autofree_buf struct buf payload = { 0 };
    struct channel_input input = { .fd = f->raw };
    uint16_t number;

    assert_true(channel_send_blocking(f->raw, 40, STR("question"), &error));
    assert_true(channel_receive_blocking(&input, &number, &payload, &error));
    assert_int_equal(number, 41);
    assert_string_equal(buf_text(&payload), "question");
    buf_free(&input.bytes);
    close(f->raw);
    f->raw = -1;
    return NULL;
}

static void tool_exchanges_frames_without_a_loop(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;

    f->a.answers = true;
    pthread_create(&thread, NULL, tool, f);
    loop_run(f->loop);
    pthread_join(thread, NULL);
    assert_int_equal(f->a.frames, 1);
    assert_int_equal(f->a.closed, 1);
}

static void tool_sees_a_clean_end_and_a_broken_one(void **state)
{
    struct {
        struct str bytes;
        bool is_fine;
    } cases[] = {
        { STR(""), true },
        { STR("\1\0"), false },
        { STR("\1\0\0\0\1\0\0\0"), false },
        { STR("\xff\xff\xff\xff\1\0\0\0"), false },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        autofree_buf struct buf payload = { 0 };
        struct error error;
        uint16_t number = 9;
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        assert_int_equal(write(fds[1], cases[i].bytes.ptr, cases[i].bytes.len), cases[i].bytes.len);
        close(fds[1]);
        struct channel_input input = { .fd = fds[0] };
        assert_int_equal(channel_receive_blocking(&input, &number, &payload, &error),
                         cases[i].is_fine);
        assert_int_equal(number, 0);
        buf_free(&input.bytes);
        close(fds[0]);
    }
}

#define pair_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define raw_test(name)  cmocka_unit_test_setup_teardown(name, set_up_raw, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(frames_arrive_in_order_and_answers_return),
        pair_test(frames_of_every_size_arrive_whole),
        raw_test(frames_that_come_byte_by_byte_are_whole),
        pair_test(frame_of_a_hook_that_runs_after_the_flush_is_not_left_behind),
        pair_test(descriptors_come_with_their_frames_in_order),
        pair_test(descriptors_that_nobody_takes_are_closed),
        raw_test(frame_beyond_the_limit_closes),
        raw_test(frame_that_promises_a_missing_descriptor_closes),
        raw_test(refused_message_closes_and_later_frames_are_not_handled),
        raw_test(frames_before_the_end_are_handled),
        raw_test(sending_to_a_peer_that_is_gone_closes_once_and_outside_of_the_call),
        pair_test(peer_of_a_channel_that_closed_closes_too),
        pair_test(waiting_for_room_bounds_what_is_unsent),
        raw_test(waiting_for_room_ends_at_the_deadline_and_when_the_peer_goes),
        raw_test(tool_exchanges_frames_without_a_loop),
        cmocka_unit_test(tool_sees_a_clean_end_and_a_broken_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
