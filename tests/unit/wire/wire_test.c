/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from the .def files as wire.c is: each message is filled, sent over a real channel,
 * decoded and compared; then every shorter and one longer payload must be refused. */
#include "wire/wire.h"

#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct peer {
    struct loop *loop;
    int calls;
    int mode; /* how to spoil the payload */
};

enum { WHOLE, LONGER };

/* ---- values: each field of a message gets another one ---- */

static void fill_u8(uint8_t *value, uint64_t *seed)
{
    *value = (uint8_t)(0xa0 + ++*seed);
}

static void fill_u32(uint32_t *value, uint64_t *seed)
{
    *value = (uint32_t)(0xfedcba00 + ++*seed);
}

static void fill_u64(uint64_t *value, uint64_t *seed)
{
    *value = 0xfedcba9876543200 + ++*seed;
}

static void fill_i64(int64_t *value, uint64_t *seed)
{
    *value = -(int64_t)++ * seed - (INT64_C(1) << 40);
}

static void fill_str(struct str *value, uint64_t *seed)
{
    static const char text[] = "some\0text of a good length, with \r\n and \xff in it";

    *value = str_of(text, 5 + ++*seed);
}

static void fill_fd(int *value, uint64_t *seed)
{
    *value = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void same_u8(uint8_t sent, uint8_t received)
{
    assert_int_equal(sent, received);
}

static void same_u32(uint32_t sent, uint32_t received)
{
    assert_int_equal(sent, received);
}

static void same_u64(uint64_t sent, uint64_t received)
{
    assert_true(sent == received);
}

static void same_i64(int64_t sent, int64_t received)
{
    assert_true(sent == received);
}

static void same_str(struct str sent, struct str received)
{
    assert_true(str_equal(sent, received));
}

static void same_fd(int sent, int received)
{
    struct stat status;

    assert_true(received >= 0);
    assert_int_equal(fstat(received, &status), 0);
    assert_true(S_ISCHR(status.st_mode));
    close(received);
}

static void end_u8(uint8_t value)
{
}

static void end_u32(uint32_t value)
{
}

static void end_u64(uint64_t value)
{
}

static void end_i64(int64_t value)
{
}

static void end_str(struct str value)
{
}

static void end_fd(int value)
{
    close(value);
}

/* ---- one message ---- */

#define FIELD(type, field) fill_##type(&message->field, &seed);
#define MESSAGE(name, number, fields)                                                              \
    static void fill_##name(struct wire_##name *message)                                           \
    {                                                                                              \
        uint64_t seed = (number);                                                                  \
                                                                                                   \
        seed %= 16;                                                                                \
        fields                                                                                     \
    }
#include WIRE_FILES
#undef MESSAGE
#undef FIELD

#define FIELD(type, field) same_##type(sent->field, got->field);
#define MESSAGE(name, number, fields)                                                              \
    static void same_##name(const struct wire_##name *sent, const struct wire_##name *got)         \
    {                                                                                              \
        fields                                                                                     \
    }
#include WIRE_FILES
#undef MESSAGE
#undef FIELD

#define FIELD(type, field) end_##type(message->field);
#define MESSAGE(name, number, fields)                                                              \
    static void end_##name(struct wire_##name *message)                                            \
    {                                                                                              \
        fields                                                                                     \
    }
#include WIRE_FILES
#undef MESSAGE
#undef FIELD

/* Decodes what came whole, or with a byte more, against the same values made here. */
#define FIELD(type, field)
#define MESSAGE(name, number, fields)                                                              \
    static void receive_##name(struct peer *peer, struct channel *channel, struct str payload)     \
    {                                                                                              \
        struct wire_##name expected, message;                                                      \
        autofree_buf struct buf longer = { 0 };                                                    \
                                                                                                   \
        buf_append(&longer, payload);                                                              \
        buf_append_byte(&longer, 0);                                                               \
        if (peer->mode == LONGER) {                                                                \
            assert_false(wire_decode_##name(channel, buf_str(&longer), &message));                 \
            return;                                                                                \
        }                                                                                          \
        for (size_t len = 0; len < payload.len; len++)                                             \
            assert_false(wire_decode_##name(NULL, str_take(payload, len), &message));              \
        fill_##name(&expected);                                                                    \
        assert_true(wire_decode_##name(channel, payload, &message));                               \
        same_##name(&expected, &message);                                                          \
        end_##name(&expected);                                                                     \
    }                                                                                              \
    static void send_##name(struct channel *channel)                                               \
    {                                                                                              \
        struct wire_##name message;                                                                \
                                                                                                   \
        fill_##name(&message);                                                                     \
        wire_send_##name(channel, &message);                                                       \
        end_##name(&message);                                                                      \
    }
#include WIRE_FILES
#undef MESSAGE
#undef FIELD

/* ---- all of them ---- */

static const struct row {
    uint16_t number;
    const char *name;
    void (*send)(struct channel *channel);
    void (*receive)(struct peer *peer, struct channel *channel, struct str payload);
} rows[] = {
#define FIELD(type, field)
#define MESSAGE(name, number, fields) { WIRE_##name, #name, send_##name, receive_##name },
#include WIRE_FILES
#undef MESSAGE
#undef FIELD
};

enum { ROWS = sizeof rows / sizeof *rows };

static bool received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    struct peer *peer = owner;
    const struct row *row = &rows[peer->calls];

    assert_int_equal(number, row->number);
    row->receive(peer, channel, payload);
    if (++peer->calls == ROWS)
        loop_stop(peer->loop);
    return true;
}

static void closed(void *owner, struct channel *channel, const char *reason)
{
    fail_msg("%s", reason);
}

static int open_fd_count(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void exchange_all(int mode)
{
    static const struct channel_events events = { received, closed };
    struct error error;
    struct peer peer = { .loop = loop_new(&error), .mode = mode };
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct channel *ours = channel_new(peer.loop, fds[0], &events, &peer, &error);
    struct channel *theirs = channel_new(peer.loop, fds[1], &events, &peer, &error);
    assert_non_null(ours);
    assert_non_null(theirs);
    for (size_t i = 0; i < ROWS; i++)
        rows[i].send(ours);
    loop_run(peer.loop);
    channel_free(&ours);
    channel_free(&theirs);
    loop_free(&peer.loop);
}

static void every_message_arrives_as_it_was_sent_and_no_part_of_it_decodes(void **state)
{
    int before = open_fd_count();

    exchange_all(WHOLE);
    assert_int_equal(open_fd_count(), before);
}

static void message_with_bytes_left_over_is_refused_and_leaks_no_descriptor(void **state)
{
    int before = open_fd_count();

    exchange_all(LONGER);
    assert_int_equal(open_fd_count(), before);
}

static void numbers_are_unique_and_named(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        assert_string_equal(wire_name(rows[i].number), rows[i].name);
        for (size_t j = 0; j < i; j++)
            assert_true(rows[i].number != rows[j].number);
    }
    assert_string_equal(wire_name(0), "unknown");
    assert_string_equal(wire_name(65535), "unknown");
}

static void tools_encode_what_the_channel_sends(void **state)
{
    struct wire_tool_flush message = { .id = STR("ALL"), .site = STR("deferred") }, decoded;
    autofree_buf struct buf payload = { 0 };

    wire_encode_tool_flush(&payload, &message);
    assert_int_equal(payload.len, 4 + 3 + 4 + 8);
    assert_memory_equal(payload.ptr, "\3\0\0\0ALL\10\0\0\0deferred", payload.len);
    assert_true(wire_decode_tool_flush(NULL, buf_str(&payload), &decoded));
    assert_true(str_equal(decoded.site, STR("deferred")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_arrives_as_it_was_sent_and_no_part_of_it_decodes),
        cmocka_unit_test(message_with_bytes_left_over_is_refused_and_leaks_no_descriptor),
        cmocka_unit_test(numbers_are_unique_and_named),
        cmocka_unit_test(tools_encode_what_the_channel_sends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
