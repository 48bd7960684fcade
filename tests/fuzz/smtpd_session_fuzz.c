/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole conversation with smtpd, cut into portions at the bytes 0xFE. What the queue was given
 * must have been asked for: for each message the client sent, in this order and behind the message
 * before it, MAIL, RCPT, DATA and <CR><LF>.<CR><LF>; and a session at rest has no transaction
 * after its end.
 */
#include "tests/unit/roles/smtpd/world.h"

#include "base/ensure.h"

#include <sys/socket.h>

enum { INPUT_BYTES_MAX = 32 * 1024, CUT = 0xfe };

static const char *const settings[] = {
    "mynetworks = 127.0.0.0/8\n",
    "mynetworks = 10.0.0.0/8\nhopcount_limit = 3\nmessage_size_limit = 500\n"
    "smtpd_recipient_limit = 2\nsmtpd_recipient_overshoot_limit = 1\n",
    "smtpd_forbid_bare_newline = reject\nsmtpd_forbid_bare_newline_exclusions =\n"
    "smtpd_helo_required = yes\nstrict_rfc821_envelopes = yes\n",
    "smtpd_forbid_unauth_pipelining = no\nsmtpd_hard_error_limit = 1000\n"
    "smtpd_soft_error_limit = 1000\n",
    "smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_authorized_xforward_hosts = 127.0.0.1\n"
    "smtputf8_enable = yes\n",
};
enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

static const enum queue_manner manners[] = { QUEUE_ACCEPTS, QUEUE_ACCEPTS, QUEUE_REFUSES,
                                             QUEUE_DIES };

/* One world for each setting, kept from input to input: to make one takes longer than to use it. */
static struct world worlds[SETTINGS];

static const char *find_fold(const char *from, const char *end, const char *word)
{
    size_t len = strlen(word);

    for (; from + len <= end; from++) {
        if (str_equal_fold(str_of(from, len), str_from(word)))
            return from + len;
    }
    return NULL;
}

static const char *find_all(const char *at, const char *end, const char *const needed[2])
{
    at = find_fold(at, end, needed[0]);
    return at == NULL ? NULL : find_fold(at, end, needed[1]);
}

static void check_messages(struct str sent, size_t count)
{
    static const char *const needed[] = { "MAIL", "RCPT" };
    static const char *const data[] = { "DATA", "\r\n.\r\n" }, *const chunk[] = { "BDAT", "LAST" };
    const char *at = sent.ptr;
    const char *end = sent.ptr + sent.len;

    for (size_t message = 0; message < count; message++) {
        at = find_all(at, end, needed);
        ensure(at != NULL);
        const char *by_data = find_all(at, end, data);
        const char *by_chunk = find_all(at, end, chunk);
        ensure(by_data != NULL || by_chunk != NULL);
        at = by_data == NULL || (by_chunk != NULL && by_chunk < by_data) ? by_chunk : by_data;
    }
}

static void play_input(struct world *world, void *argument)
{
    struct str rest = *(const struct str *)argument;
    struct str bytes;

    while (rest.len > 0) {
        ptrdiff_t cut = str_find_byte(rest, (char)CUT);
        size_t len = cut < 0 ? rest.len : (size_t)cut;
        if (stream_write(world->client, str_take(rest, len), DEADLINE_NEVER) != STREAM_OK ||
            stream_flush(world->client, DEADLINE_NEVER) != STREAM_OK)
            break;
        rest = str_skip(rest, len + 1);
        for (int i = 0; i < 3; i++)
            fiber_yield(world->loop);
    }
    shutdown(stream_fd(world->client), SHUT_WR);
    while (stream_read_some(world->client, DEADLINE_NEVER, &bytes) == STREAM_OK)
        stream_consume(world->client, bytes.len);
}

static struct str without_cuts(struct buf *copy, struct str input)
{
    for (size_t i = 0; i < input.len; i++) {
        if (input.ptr[i] != (char)CUT)
            buf_append_byte(copy, input.ptr[i]);
    }
    return buf_str(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_BYTES_MAX)
        return 0;
    autofree_buf struct buf copy = { 0 };
    struct str input = str_of((const char *)data + 1, size - 1);
    struct str sent = without_cuts(&copy, input);
    struct world *world = &worlds[data[0] % SETTINGS];
    if (world->loop == NULL)
        world_open(world, settings[data[0] % SETTINGS]);
    size_t before = world->message_count;
    world_set_queue(world, manners[data[0] / SETTINGS % 4]);
    world_run(world, "127.0.0.1", play_input, &input);
    check_messages(sent, world->message_count - before);
    (void)world_log(world);
    buf_clear(&world->log_text);
    return 0;
}
