/* SPDX-License-Identifier: Apache-2.0 */
/* What a role that was taken over may write to its channel. The channel hands over whole frames,
 * ends, and says why. */
#include "net/channel.h"

#include "base/ensure.h"
#include "base/file.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 65536 };

struct victim {
    struct loop *loop;
    size_t bytes;
};

static bool received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    struct victim *victim = owner;

    ensure(payload.len <= CHANNEL_FRAME_MAX);
    victim->bytes += payload.len;
    ensure(victim->bytes <= INPUT_MAX);
    return number != 0xffff;
}

static void closed(void *owner, struct channel *channel, const char *reason)
{
    struct victim *victim = owner;

    ensure(reason != NULL && channel_is_closed(channel));
    loop_stop(victim->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct channel_events events = { received, closed };
    struct error error;
    struct victim victim = { .loop = loop_new(&error) };
    int fds[2];

    ensure(victim.loop != NULL && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    struct channel *channel = channel_new(victim.loop, fds[0], &events, &victim, &error);
    ensure(channel != NULL);
    if (size <= INPUT_MAX)
        ensure(fd_write_all(fds[1], str_of((const char *)data, size), "the channel", &error));
    fd_close(&fds[1]);
    loop_run(victim.loop);
    channel_free(&channel);
    loop_free(&victim.loop);
    return 0;
}
