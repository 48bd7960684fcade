/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream.h"

#include "base/clock.h"
#include "base/memory.h"
#include "net/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { SOON_MS = 20, LATE_MS = 5000, BULK_BYTES = 3 * 1024 * 1024 };

struct fixture {
    struct loop *loop;
    struct stream *ours;   /* what is tested */
    struct stream *theirs; /* the peer, where a test needs one that waits, too */
    int peer;              /* its descriptor otherwise */
    struct error error;
    int remaining;
    struct fiber *fiber;
    int calls;
    bool is_timeout;
    struct buf received;
    struct str script;
    size_t chunk_bytes;
};

static int set_up(void **state)
{
    static struct fixture f;
    int fds[2];

    f = (struct fixture){ .loop = loop_new(&f.error), .peer = -1 };
    *state = &f;
    if (f.loop == NULL || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return -1;
    f.ours = stream_new(f.loop, fds[0], &f.error);
    f.peer = fds[1];
    return f.ours != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    stream_free(&f->ours);
    stream_free(&f->theirs);
    if (f->peer >= 0)
        close(f->peer);
    buf_free(&f->received);
    loop_free(&f->loop);
    return 0;
}

/* Runs the functions as fibers until all have ended. */
static void finish(struct fixture *f)
{
    if (--f->remaining == 0)
        loop_stop(f->loop);
}

static void run(struct fixture *f, void (*first)(void *), void (*second)(void *))
{
    f->remaining = second != NULL ? 2 : 1;
    f->fiber = fiber_start(f->loop, "first", first, f);
    if (second != NULL)
        fiber_start(f->loop, "second", second, f);
    loop_run(f->loop);
    assert_int_equal(fiber_count(f->loop), 0);
}

static int64_t soon(struct fixture *f)
{
    return loop_now_ms(f->loop) + SOON_MS;
}

static int64_t late(struct fixture *f)
{
    return loop_now_ms(f->loop) + LATE_MS;
}

static void peer_says(struct fixture *f, const char *text)
{
    assert_int_equal(write(f->peer, text, strlen(text)), strlen(text));
}

/* ---- lines ---- */

/* Writes the script in portions, with a turn of the loop between them. */
static void speak_in_chunks(void *argument)
{
    struct fixture *f = argument;

    while (f->script.len > 0) {
        struct str part = str_take(f->script, f->chunk_bytes);
        assert_int_equal(write(f->peer, part.ptr, part.len), part.len);
        f->script = str_skip(f->script, part.len);
        fiber_yield(f->loop);
    }
    close(f->peer);
    f->peer = -1;
    finish(f);
}

static void read_all_lines(void *argument)
{
    struct fixture *f = argument;
    enum stream_outcome outcome;
    struct str line;
    bool had_cr;

    while ((outcome = stream_read_line(f->ours, 100, late(f), &line, &had_cr)) == STREAM_OK) {
        buf_append(&f->received, line);
        buf_append_text(&f->received, had_cr ? "|" : "/");
    }
    assert_int_equal(outcome, STREAM_CLOSED);
    buf_append(&f->received, stream_pending(f->ours));
    finish(f);
}

static void lines_are_the_same_however_they_are_cut(void **state)
{
    static const char script[] = "EHLO a\r\nMAIL FROM:<>\nx\r\r\n\r\n\n\r\rlast\r\nrest\r";

    for (size_t chunk = 1; chunk < sizeof script; chunk++) {
        assert_int_equal(set_up(state), 0);
        struct fixture *f = *state;
        f->script = str_from(script);
        f->chunk_bytes = chunk;
        run(f, read_all_lines, speak_in_chunks);
        assert_string_equal(buf_text(&f->received), "EHLO a|MAIL FROM:<>/x\r||/\r\rlast|rest\r");
        tear_down(state);
    }
}

static void read_limited(void *argument)
{
    struct fixture *f = argument;
    struct str line;

    assert_int_equal(stream_read_line(f->ours, 4, late(f), &line, NULL), STREAM_OK);
    assert_true(str_equal(line, STR("abcd")));
    assert_int_equal(stream_read_line(f->ours, 4, late(f), &line, NULL), STREAM_TOO_LONG);
    assert_true(str_equal(stream_pending(f->ours), STR("abcde\r\nabcdef")));
    stream_consume(f->ours, 7);
    /* No line end yet, and it can no longer come in time. */
    assert_int_equal(stream_read_line(f->ours, 4, late(f), &line, NULL), STREAM_TOO_LONG);
    assert_int_equal(stream_read_line(f->ours, 6, soon(f), &line, NULL), STREAM_TIMEOUT);
    assert_true(str_equal(stream_pending(f->ours), STR("abcdef")));
    finish(f);
}

static void line_beyond_the_limit_stays_buffered(void **state)
{
    struct fixture *f = *state;

    peer_says(f, "abcd\r\nabcde\r\nabcdef");
    run(f, read_limited, NULL);
}

static void read_until_deadline(void *argument)
{
    struct fixture *f = argument;
    struct str line;
    int64_t began_ms = clock_monotonic_ms();

    assert_int_equal(stream_read_line(f->ours, 100, soon(f), &line, NULL), STREAM_TIMEOUT);
    assert_true(clock_monotonic_ms() - began_ms >= SOON_MS - 1);
    assert_string_equal(stream_outcome_text(STREAM_TIMEOUT), "timeout");
    fiber_cancel(fiber_current(f->loop));
    assert_int_equal(stream_read_line(f->ours, 100, late(f), &line, NULL), STREAM_CANCELLED);
    finish(f);
}

static void reading_ends_at_the_deadline_and_on_cancellation(void **state)
{
    run(*state, read_until_deadline, NULL);
}

/* ---- bytes ---- */

static void read_pieces(void *argument)
{
    struct fixture *f = argument;
    struct str bytes;

    assert_int_equal(stream_read_some(f->ours, late(f), &bytes), STREAM_OK);
    assert_true(str_equal(bytes, STR("one")));
    assert_int_equal(stream_read_some(f->ours, soon(f), &bytes), STREAM_TIMEOUT);
    assert_true(str_equal(bytes, STR("one")));
    peer_says(f, "two");
    assert_int_equal(stream_read_some(f->ours, late(f), &bytes), STREAM_OK);
    assert_true(str_equal(bytes, STR("onetwo")));
    stream_consume(f->ours, 2);
    assert_int_equal(stream_read_some(f->ours, late(f), &bytes), STREAM_OK);
    assert_true(str_equal(bytes, STR("etwo")));
    stream_consume(f->ours, 4);
    close(f->peer);
    f->peer = -1;
    assert_int_equal(stream_read_some(f->ours, late(f), &bytes), STREAM_CLOSED);
    assert_int_equal(stream_read_some(f->ours, late(f), &bytes), STREAM_CLOSED);
    finish(f);
}

static void reading_without_consuming_waits_for_more(void **state)
{
    struct fixture *f = *state;

    peer_says(f, "one");
    run(f, read_pieces, NULL);
}

static char bulk_byte(size_t at)
{
    return (char)(at * 31 + at / 251);
}

static void write_bulk(void *argument)
{
    struct fixture *f = argument;
    char *bulk = memory_new(BULK_BYTES);

    for (size_t i = 0; i < BULK_BYTES; i++)
        bulk[i] = bulk_byte(i);
    for (size_t at = 0, step = 1; at < BULK_BYTES; at += step, step = step * 3 % 200003 + 1) {
        size_t len = step < BULK_BYTES - at ? step : BULK_BYTES - at;
        assert_int_equal(stream_write(f->ours, str_of(bulk + at, len), late(f)), STREAM_OK);
        step = len;
    }
    assert_int_equal(stream_flush(f->ours, late(f)), STREAM_OK);
    memory_free(bulk);
    finish(f);
}

static void read_bulk(void *argument)
{
    struct fixture *f = argument;
    size_t at = 0;

    f->theirs = stream_new(f->loop, f->peer, &f->error);
    f->peer = -1;
    while (at < BULK_BYTES) {
        struct str bytes;
        assert_int_equal(stream_read_some(f->theirs, late(f), &bytes), STREAM_OK);
        for (size_t i = 0; i < bytes.len; i++)
            if (bytes.ptr[i] != bulk_byte(at + i))
                fail_msg("wrong byte at %zu", at + i);
        at += bytes.len;
        stream_consume(f->theirs, bytes.len);
    }
    finish(f);
}

static void bulk_passes_through_a_full_socket(void **state)
{
    run(*state, write_bulk, read_bulk);
}

static void write_until_stuck(void *argument)
{
    struct fixture *f = argument;
    char block[65536] = { 0 };
    enum stream_outcome outcome = STREAM_OK;

    while (outcome == STREAM_OK)
        outcome = stream_write(f->ours, str_of(block, sizeof block), soon(f));
    assert_int_equal(outcome, STREAM_TIMEOUT);
    close(f->peer);
    f->peer = -1;
    assert_int_equal(stream_write(f->ours, STR("QUIT\r\n"), late(f)), STREAM_OK);
    assert_int_equal(stream_flush(f->ours, late(f)), STREAM_FAILED);
    assert_true(stream_errno(f->ours) == EPIPE || stream_errno(f->ours) == ECONNRESET);
    assert_string_equal(stream_outcome_text(STREAM_FAILED), "lost connection");
    finish(f);
}

static void writing_to_a_stuck_or_gone_peer_ends(void **state)
{
    run(*state, write_until_stuck, NULL);
}

static void ask_and_read(void *argument)
{
    struct fixture *f = argument;
    struct str line;

    assert_int_equal(stream_write(f->ours, STR("220 hello\r\n"), late(f)), STREAM_OK);
    assert_int_equal(stream_read_line(f->ours, 100, late(f), &line, NULL), STREAM_OK);
    assert_true(str_equal(line, STR("HELO")));
    finish(f);
}

static void answer_greeting(void *argument)
{
    struct fixture *f = argument;
    struct str line;

    f->theirs = stream_new(f->loop, f->peer, &f->error);
    f->peer = -1;
    assert_int_equal(stream_read_line(f->theirs, 100, late(f), &line, NULL), STREAM_OK);
    assert_true(str_equal(line, STR("220 hello")));
    assert_int_equal(stream_write(f->theirs, STR("HELO\n"), late(f)), STREAM_OK);
    assert_int_equal(stream_flush(f->theirs, late(f)), STREAM_OK);
    finish(f);
}

static void output_is_flushed_before_a_read_sleeps(void **state)
{
    run(*state, ask_and_read, answer_greeting);
}

static void read_last_words(void *argument)
{
    struct fixture *f = argument;
    struct str line;

    assert_int_equal(stream_write(f->ours, STR("MAIL\r\n"), late(f)), STREAM_OK);
    assert_int_equal(stream_read_line(f->ours, 100, late(f), &line, NULL), STREAM_OK);
    assert_true(str_equal(line, STR("421 bye")));
    assert_int_equal(stream_read_line(f->ours, 100, late(f), &line, NULL), STREAM_CLOSED);
    finish(f);
}

static void what_the_peer_said_before_it_went_is_read(void **state)
{
    struct fixture *f = *state;

    peer_says(f, "421 bye\r\n");
    close(f->peer);
    f->peer = -1;
    run(f, read_last_words, NULL);
}

/* ---- parking ---- */

static void note_and_stop(void *argument, bool is_timeout)
{
    struct fixture *f = argument;

    f->calls++;
    f->is_timeout = is_timeout;
    loop_stop(f->loop);
}

static void stop_soon(void *argument)
{
    struct fixture *f = argument;

    fiber_sleep(f->loop, SOON_MS);
    finish(f);
}

static void parked_stream_calls_when_bytes_arrive_and_only_once(void **state)
{
    struct fixture *f = *state;

    stream_shrink(f->ours);
    stream_park(f->ours, late(f), note_and_stop, f);
    peer_says(f, "x");
    loop_run(f->loop);
    assert_int_equal(f->calls, 1);
    assert_false(f->is_timeout);
    peer_says(f, "y");
    run(f, stop_soon, NULL);
    assert_int_equal(f->calls, 1);
    /* They are still there: parking again calls at once. */
    stream_park(f->ours, DEADLINE_NEVER, note_and_stop, f);
    loop_run(f->loop);
    assert_int_equal(f->calls, 2);
}

static void parked_stream_calls_at_the_end_of_the_stream(void **state)
{
    struct fixture *f = *state;

    stream_park(f->ours, DEADLINE_NEVER, note_and_stop, f);
    close(f->peer);
    f->peer = -1;
    loop_run(f->loop);
    assert_int_equal(f->calls, 1);
    assert_false(f->is_timeout);
}

static void parked_stream_calls_at_its_deadline(void **state)
{
    struct fixture *f = *state;
    int64_t began_ms = clock_monotonic_ms();

    /* A deadline from an earlier time in the park does not count. */
    stream_park(f->ours, loop_now_ms(f->loop) + 5, note_and_stop, f);
    stream_unpark(f->ours);
    stream_park(f->ours, loop_now_ms(f->loop) + 40, note_and_stop, f);
    loop_run(f->loop);
    assert_int_equal(f->calls, 1);
    assert_true(f->is_timeout);
    assert_true(clock_monotonic_ms() - began_ms >= 39);
}

static void unparked_stream_does_not_call(void **state)
{
    struct fixture *f = *state;

    stream_park(f->ours, loop_now_ms(f->loop) + 5, note_and_stop, f);
    peer_says(f, "x");
    stream_unpark(f->ours);
    run(f, stop_soon, NULL);
    assert_int_equal(f->calls, 0);
}

/* ---- connecting ---- */

static int listen_on_loopback(struct net_address *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(net_address_parse(STR("127.0.0.1"), 0, address));
    assert_int_equal(bind(fd, &address->any, address->len), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, &address->any, &address->len), 0);
    return fd;
}

static void connect_and_greet(void *argument)
{
    struct fixture *f = argument;
    struct net_address address, from;
    struct str line;
    int listening = listen_on_loopback(&address);

    assert_true(net_address_parse(STR("127.0.0.2"), 0, &from));
    assert_int_equal(stream_connect(f->loop, &address.any, address.len, &from.any, late(f),
                                    &f->theirs, &f->error),
                     STREAM_OK);
    struct net_address peer = { .len = sizeof peer.local };
    int accepted = accept(listening, &peer.any, &peer.len);
    assert_memory_equal(net_address_bytes(&peer).ptr, net_address_bytes(&from).ptr, 4);
    assert_int_equal(write(accepted, "220\r\n", 5), 5);
    assert_int_equal(stream_read_line(f->theirs, 100, late(f), &line, NULL), STREAM_OK);
    stream_free(&f->theirs);
    close(accepted);
    close(listening);
    /* Now nobody listens there. */
    assert_int_equal(
        stream_connect(f->loop, &address.any, address.len, NULL, late(f), &f->theirs, &f->error),
        STREAM_FAILED);
    assert_string_equal(f->error.message, "Connection refused");
    assert_int_equal(f->error.system_errno, ECONNREFUSED);
    assert_null(f->theirs);
    fiber_cancel(fiber_current(f->loop));
    finish(f);
}

static void connecting_gives_a_stream_or_a_reason(void **state)
{
    run(*state, connect_and_greet, NULL);
}

#define stream_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_same_however_they_are_cut),
        stream_test(line_beyond_the_limit_stays_buffered),
        stream_test(reading_ends_at_the_deadline_and_on_cancellation),
        stream_test(reading_without_consuming_waits_for_more),
        stream_test(bulk_passes_through_a_full_socket),
        stream_test(writing_to_a_stuck_or_gone_peer_ends),
        stream_test(output_is_flushed_before_a_read_sleeps),
        stream_test(what_the_peer_said_before_it_went_is_read),
        stream_test(parked_stream_calls_when_bytes_arrive_and_only_once),
        stream_test(parked_stream_calls_at_the_end_of_the_stream),
        stream_test(parked_stream_calls_at_its_deadline),
        stream_test(unparked_stream_does_not_call),
        stream_test(connecting_gives_a_stream_or_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
