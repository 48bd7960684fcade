/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop costs in CPU time: bench-loop prints the price of a fiber's switch, start and wait,
 * of a parked connection, and of frames on a channel (both ends in this process). */
#include "base/memory.h"
#include "loop/fiber.h"
#include "net/channel.h"
#include "net/stream.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { SWITCHES = 2000000, STARTS = 500000, PARKED_MAX = 10000, FRAMES = 1000000 };

struct bench {
    struct loop *loop;
    struct fiber *other;
    int64_t remaining;
    int64_t batch;
    struct channel *ours, *theirs;
    size_t frame_bytes;
    int64_t frames_to_come;
    struct stream *stream;
};

static void must(bool is_fine, const struct error *error)
{
    if (is_fine)
        return;
    fprintf(stderr, "bench-loop: %s\n", error->message);
    exit(1);
}

/* CPU time, so that what else the machine does is left out. */
static int64_t cpu_us(void)
{
    return (int64_t)clock() * 1000000 / CLOCKS_PER_SEC;
}

static double ns_each(int64_t began_us, int64_t count)
{
    return (double)(cpu_us() - began_us) * 1000.0 / (double)count;
}

/* ---- fibers ---- */

static void wake_the_other(void *argument)
{
    struct bench *bench = argument;

    while (bench->remaining > 0) {
        struct fiber *other = bench->other;
        bench->other = fiber_current(bench->loop);
        bench->remaining--;
        if (other != NULL)
            fiber_wake(other);
        if (bench->remaining > 0)
            fiber_wait(bench->loop, "the other", loop_now_ms(bench->loop) + 300000);
    }
    if (bench->other != NULL && bench->other != fiber_current(bench->loop))
        fiber_wake(bench->other);
    loop_stop(bench->loop);
}

static void bench_switch(struct bench *bench)
{
    int64_t began_us = cpu_us();

    bench->remaining = SWITCHES;
    bench->other = NULL;
    fiber_start(bench->loop, "ping", wake_the_other, bench);
    fiber_start(bench->loop, "pong", wake_the_other, bench);
    while (fiber_count(bench->loop) > 0)
        loop_run(bench->loop);
    printf("fiber wake + wait with a deadline  %8.0f ns\n", ns_each(began_us, SWITCHES));
}

static void start_next(void *argument)
{
    struct bench *bench = argument;

    if (--bench->remaining > 0)
        fiber_start(bench->loop, "next", start_next, bench);
    else
        loop_stop(bench->loop);
}

static void bench_start(struct bench *bench)
{
    int64_t began_us = cpu_us();

    bench->remaining = STARTS;
    fiber_start(bench->loop, "first", start_next, bench);
    loop_run(bench->loop);
    printf("fiber start + end                  %8.0f ns\n", ns_each(began_us, STARTS));
}

/* ---- parked connections ---- */

static void never_ready(void *argument, bool is_timeout)
{
}

static void talk_once(void *argument)
{
    struct bench *bench = argument;
    struct stream *stream = bench->stream;
    struct str line;

    if (stream_read_line(stream, 1000, DEADLINE_NEVER, &line, NULL) == STREAM_OK &&
        stream_write(stream, STR("250 fine\r\n"), DEADLINE_NEVER) == STREAM_OK &&
        stream_flush(stream, DEADLINE_NEVER) == STREAM_OK)
        stream_shrink(stream);
    stream_park(stream, DEADLINE_NEVER, never_ready, NULL);
    loop_stop(bench->loop);
}

static void open_file_limit_raise(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Each connection has a conversation of one command, one after the other as on a quiet server, and
 * then waits for the next command in the park. */
static void bench_parked(struct bench *bench)
{
    struct stream **streams = memory_new_array(PARKED_MAX, sizeof(struct stream *));
    int *peers = memory_new_array(PARKED_MAX, sizeof *peers);
    size_t before = mallinfo2().uordblks;
    struct error error;
    int count = 0, fds[2];

    while (count < PARKED_MAX && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0) {
        streams[count] = stream_new(bench->loop, fds[0], &error);
        must(streams[count] != NULL, &error);
        peers[count] = fds[1];
        error_set(&error, "write failed");
        must(write(fds[1], "NOOP\r\n", 6) == 6, &error);
        bench->stream = streams[count++];
        fiber_start(bench->loop, "conversation", talk_once, bench);
        loop_run(bench->loop);
    }
    printf("parked connection, %5d of them     %7zu bytes (without the kernel's)\n", count,
           (mallinfo2().uordblks - before) / (size_t)count);
    for (int i = 0; i < count; i++)
        stream_free(&streams[i]);
    memory_free(streams);
    while (count > 0)
        close(peers[--count]);
    memory_free(peers);
}

/* ---- channels ---- */

static void send_batch(struct bench *bench)
{
    for (int64_t i = 0; i < bench->batch && bench->remaining > 0; i++, bench->remaining--) {
        struct buf *frame = channel_frame_start(bench->ours, 1);
        char *room = buf_reserve(frame, bench->frame_bytes);
        memset(room, 'x', bench->frame_bytes);
        buf_commit(frame, bench->frame_bytes);
        channel_frame_end(bench->ours);
    }
}

static bool received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    struct bench *bench = owner;

    if (channel == bench->ours) {
        send_batch(bench);
        return true;
    }
    bench->frames_to_come--;
    if (bench->frames_to_come == 0)
        loop_stop(bench->loop);
    else if (bench->frames_to_come % bench->batch == 0) {
        channel_frame_start(channel, 2);
        channel_frame_end(channel);
    }
    return true;
}

static void closed(void *owner, struct channel *channel, const char *reason)
{
    fprintf(stderr, "bench-loop: %s\n", reason);
    exit(1);
}

static void bench_frames(struct bench *bench, int64_t batch, size_t frame_bytes)
{
    static const struct channel_events events = { received, closed };
    int64_t frames = frame_bytes > 1000 ? FRAMES / 10 : FRAMES;
    struct error error;
    int fds[2];

    error_set(&error, "socketpair failed");
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, &error);
    bench->ours = channel_new(bench->loop, fds[0], &events, bench, &error);
    must(bench->ours != NULL, &error);
    bench->theirs = channel_new(bench->loop, fds[1], &events, bench, &error);
    must(bench->theirs != NULL, &error);
    bench->batch = batch;
    bench->frame_bytes = frame_bytes;
    bench->remaining = bench->frames_to_come = frames - frames % batch;
    int64_t began_us = cpu_us();
    send_batch(bench);
    loop_run(bench->loop);
    double each_ns = ns_each(began_us, frames);
    printf("channel frame, %5zu bytes, %3" PRId64 " at once %8.0f ns  %9.0f/s\n", frame_bytes,
           batch, each_ns, 1e9 / each_ns);
    channel_free(&bench->ours);
    channel_free(&bench->theirs);
}

int main(void)
{
    struct error error;
    struct bench bench = { .loop = loop_new(&error) };

    must(bench.loop != NULL, &error);
    open_file_limit_raise();
    bench_switch(&bench);
    bench_start(&bench);
    bench_parked(&bench);
    bench_frames(&bench, 1, 100);
    bench_frames(&bench, 16, 100);
    bench_frames(&bench, 64, 100);
    bench_frames(&bench, 1, 4096);
    bench_frames(&bench, 16, 4096);
    loop_free(&bench.loop);
    return 0;
}
