/* SPDX-License-Identifier: Apache-2.0 */
#include "net/channel.h"

#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"
#include "net/fd_queue.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    FRAME_FDS_MAX = 16,
    SEND_FDS_MAX = 64, /* with one sendmsg; the kernel takes 253 */
    QUEUE_FDS_MAX = 4096,
    READ_FIRST_BYTES = 16 * 1024, /* grows while reads fill it */
    READ_MAX_BYTES = 256 * 1024,
    TURN_BYTES = 1024 * 1024, /* read in one go, before the rest of the loop runs */
    KEEP_BYTES = 256 * 1024,  /* an empty buffer that is larger goes back to the heap */
    RETRY_MS = 10,
    EVENTS_IN = EPOLLIN | EPOLLRDHUP,
};

/* In front of each payload; little-endian. */
struct header {
    uint32_t payload_bytes;
    uint16_t number;
    uint16_t fd_count;
};

struct room_waiter {
    struct list link;
    struct fiber *fiber;
};

struct channel {
    struct loop *loop;
    int fd;
    struct watch watch;
    struct before_sleep flush;
    struct timer later; /* for what may not happen inside the current call */
    const struct channel_events *events;
    void *owner;
    const char *closed_reason; /* NULL while it is open */
    bool is_readable, is_writable, has_hangup;
    bool watches_output; /* from the first time that output did not fit */
    bool is_broken;      /* nobody takes what we send: read to the end, then close */
    bool is_dispatching;
    bool is_paused; /* nothing is read or handed over */

    struct buf input;
    size_t input_at;
    size_t read_bytes;
    struct fd_queue fds_in;
    unsigned frame_fds_in; /* those of the frame that is being received, not taken yet */

    struct buf output;
    size_t output_at;
    size_t frame_at;     /* of the frame that is being written */
    uint64_t sent_bytes; /* the position of output_at in the stream of bytes */
    unsigned frame_fds;  /* attached to it */
    struct fd_queue fds_out;
    struct list room_waiters;
};

/* ---- the end ---- */

static void wake_room_waiters(struct channel *channel)
{
    list_each (link, &channel->room_waiters)
        fiber_wake(list_entry(link, struct room_waiter, link)->fiber);
}

static struct {
    void (*ended)(void *argument, int fd);
    void *argument;
} hearer; /* of channel_hear_ends */

void channel_hear_ends(void (*ended)(void *argument, int fd), void *argument)
{
    hearer.ended = ended;
    hearer.argument = argument;
}

/* `closed` follows from the timer, outside of any other call. */
static void channel_end(struct channel *channel, const char *reason)
{
    if (channel->closed_reason != NULL)
        return;
    channel->closed_reason = reason;
    if (hearer.ended != NULL)
        hearer.ended(hearer.argument, channel->fd);
    watch_close(channel->loop, &channel->watch);
    wake_room_waiters(channel);
    timer_set(channel->loop, &channel->later, loop_now_ms(channel->loop), channel->later.expired);
}

bool channel_is_closed(const struct channel *channel)
{
    return channel->closed_reason != NULL;
}

/* ---- sending ---- */

size_t channel_unsent_bytes(const struct channel *channel)
{
    return channel->output.len - channel->output_at;
}

struct buf *channel_frame_start(struct channel *channel, uint16_t number)
{
    struct header header = { .number = htole16(number) };

    if (channel->output_at > 0 && channel->output_at >= channel->output.len / 2) {
        buf_consume(&channel->output, channel->output_at);
        channel->output_at = 0;
    }
    channel->frame_at = channel->output.len;
    channel->frame_fds = 0;
    buf_append(&channel->output, str_of((const char *)&header, sizeof header));
    return &channel->output;
}

void channel_frame_end(struct channel *channel)
{
    char *frame = channel->output.ptr + channel->frame_at;
    size_t payload_bytes = channel->output.len - channel->frame_at - sizeof(struct header);
    struct header header;

    ensure(payload_bytes <= CHANNEL_FRAME_MAX);
    if (channel->closed_reason != NULL) {
        buf_truncate(&channel->output, channel->frame_at);
        return;
    }
    memcpy(&header, frame, sizeof header);
    header.payload_bytes = htole32((uint32_t)payload_bytes);
    header.fd_count = htole16((uint16_t)channel->frame_fds);
    memcpy(frame, &header, sizeof header);
    loop_again(channel->loop);
}

void channel_attach_fd(struct channel *channel, int fd)
{
    ensure(channel->frame_fds < FRAME_FDS_MAX);
    if (channel->closed_reason != NULL)
        return;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        channel_end(channel, "no file descriptors are left to send one");
        return;
    }
    channel->frame_fds++;
    fd_queue_add(&channel->fds_out, channel->sent_bytes + (channel->frame_at - channel->output_at),
                 copy);
}

/* Puts the next descriptors beside the message; returns how many. With them may go the bytes before
 * the frame of the first descriptor that stays behind. */
static size_t attach_fds(struct channel *channel, struct msghdr *message, struct iovec *bytes)
{
    size_t waiting = fd_queue_count(&channel->fds_out);
    size_t count = waiting < SEND_FDS_MAX ? waiting : SEND_FDS_MAX;
    struct cmsghdr *control = message->msg_control;

    if (waiting > count) {
        uint64_t most = fd_queue_position(&channel->fds_out, count) - channel->sent_bytes;
        bytes->iov_len = bytes->iov_len < most ? bytes->iov_len : (size_t)most;
    }
    if (count == 0) {
        message->msg_control = NULL;
        message->msg_controllen = 0;
        return 0;
    }
    message->msg_controllen = CMSG_SPACE(count * sizeof(int));
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (size_t i = 0; i < count; i++) {
        int fd = fd_queue_fd(&channel->fds_out, i);
        memcpy(CMSG_DATA(control) + i * sizeof fd, &fd, sizeof fd);
    }
    return count;
}

static ssize_t send_once(struct channel *channel)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SEND_FDS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec bytes = { channel->output.ptr + channel->output_at,
                           channel_unsent_bytes(channel) };
    struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control };
    size_t fd_count = attach_fds(channel, &message, &bytes);
    ssize_t count = sendmsg(channel->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (count > 0)
        fd_queue_drop(&channel->fds_out, fd_count);
    return count;
}

/* True when it is worth another attempt at once. */
static bool send_failed(struct channel *channel)
{
    struct error error;

    if (errno == EINTR)
        return true;
    if (errno == EAGAIN) {
        channel->is_writable = false;
        if (!channel->watches_output &&
            !watch_change(channel->loop, &channel->watch, EVENTS_IN | EPOLLOUT, &error))
            channel_end(channel, "the channel cannot be watched");
        channel->watches_output = true;
    } else if (errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM) {
        /* Too many descriptors are on their way to all peers together; no event tells when not. */
        channel->is_writable = false;
        timer_set(channel->loop, &channel->later, loop_now_ms(channel->loop) + RETRY_MS,
                  channel->later.expired);
    } else if (errno == EPIPE || errno == ECONNRESET) {
        /* The peer may have said something before it went. */
        channel->is_writable = false;
        channel->is_broken = true;
        timer_set(channel->loop, &channel->later, loop_now_ms(channel->loop),
                  channel->later.expired);
    } else {
        channel_end(channel, "sending to the peer failed");
    }
    return false;
}

static void output_sent(struct channel *channel, size_t count)
{
    channel->output_at += count;
    channel->sent_bytes += count;
    if (channel_unsent_bytes(channel) > 0)
        return;
    channel->output_at = 0;
    buf_clear(&channel->output);
    if (channel->output.capacity > KEEP_BYTES)
        buf_free(&channel->output);
}

void channel_flush(struct channel *channel)
{
    bool is_crowded = channel_unsent_bytes(channel) >= CHANNEL_ROOM_BYTES;

    while (channel->closed_reason == NULL && channel->is_writable &&
           channel_unsent_bytes(channel) > 0) {
        ssize_t count = send_once(channel);
        if (count > 0)
            output_sent(channel, (size_t)count);
        else if (!send_failed(channel))
            break;
    }
    if (is_crowded && channel_unsent_bytes(channel) < CHANNEL_ROOM_BYTES)
        wake_room_waiters(channel);
}

static void flush_before_sleep(struct before_sleep *hook)
{
    channel_flush(list_entry(hook, struct channel, flush));
}

enum wake channel_wait_room(struct channel *channel, int64_t deadline_ms)
{
    enum wake wake = WAKE_READY;

    if (channel_unsent_bytes(channel) >= CHANNEL_ROOM_BYTES)
        channel_flush(channel);
    if (channel_unsent_bytes(channel) < CHANNEL_ROOM_BYTES)
        return wake;
    struct room_waiter *waiter = memory_new(sizeof *waiter);
    waiter->fiber = fiber_current(channel->loop);
    list_append(&channel->room_waiters, &waiter->link);
    while (wake == WAKE_READY && channel->closed_reason == NULL &&
           channel_unsent_bytes(channel) >= CHANNEL_ROOM_BYTES)
        wake = fiber_wait(channel->loop, "room in a channel", deadline_ms);
    list_remove(&waiter->link);
    memory_free(waiter);
    return wake;
}

/* ---- receiving ---- */

int channel_take_fd(struct channel *channel)
{
    if (channel->frame_fds_in == 0)
        return -1;
    channel->frame_fds_in--;
    return fd_queue_take(&channel->fds_in);
}

/* False when descriptors got lost or are too many. */
static bool take_control(struct channel *channel, struct msghdr *message)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(control) + i * sizeof fd, sizeof fd);
            fd_queue_add(&channel->fds_in, 0, fd);
        }
    }
    return !(message->msg_flags & MSG_CTRUNC) && fd_queue_count(&channel->fds_in) <= QUEUE_FDS_MAX;
}

/* How much to ask for: the rest of a large frame at once. */
static size_t portion_bytes(const struct channel *channel)
{
    size_t unread = channel->input.len - channel->input_at;
    struct header header;

    if (unread < sizeof header)
        return channel->read_bytes;
    memcpy(&header, channel->input.ptr + channel->input_at, sizeof header);
    size_t frame_bytes = sizeof header + le32toh(header.payload_bytes);
    return frame_bytes > unread + channel->read_bytes ? frame_bytes - unread : channel->read_bytes;
}

static char *input_room(struct channel *channel, size_t count)
{
    if (channel->input_at > 0) {
        buf_consume(&channel->input, channel->input_at);
        channel->input_at = 0;
    }
    return buf_reserve(&channel->input, count);
}

/* Returns how many bytes came; 0 when there are none now or the channel has ended. */
static size_t receive_some(struct channel *channel)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SEND_FDS_MAX * sizeof(int))];
    } control;
    size_t asked = portion_bytes(channel);
    struct iovec bytes = { input_room(channel, asked), asked };
    struct msghdr message = { .msg_iov = &bytes,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof control };
    ssize_t count = recvmsg(channel->watch.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (count < 0 && errno == EINTR)
        return 0;
    if (count < 0 && errno == EAGAIN) {
        channel->is_readable = false;
        return 0;
    }
    if (count <= 0) {
        channel_end(channel, count == 0 ? "the peer closed the channel" : "receiving failed");
        return 0;
    }
    buf_commit(&channel->input, (size_t)count);
    bool has_fds = message.msg_controllen > 0;
    if (!take_control(channel, &message)) {
        channel_end(channel, "the peer sent too many file descriptors");
        return 0;
    }
    /* A read ends early where descriptors are attached. */
    channel->is_readable = (size_t)count == asked || channel->has_hangup || has_fds;
    if ((size_t)count == asked && channel->read_bytes < READ_MAX_BYTES)
        channel->read_bytes *= 2;
    return (size_t)count;
}

/* Hands over the next frame; false when it is not there whole or the channel has ended. */
static bool dispatch_one(struct channel *channel)
{
    struct str unread = str_skip(buf_str(&channel->input), channel->input_at);
    struct header header;

    if (channel->closed_reason != NULL || channel->is_paused || unread.len < sizeof header)
        return false;
    memcpy(&header, unread.ptr, sizeof header);
    size_t payload_bytes = le32toh(header.payload_bytes);
    if (payload_bytes > CHANNEL_FRAME_MAX || le16toh(header.fd_count) > FRAME_FDS_MAX) {
        channel_end(channel, "the peer sent a frame beyond the limit");
        return false;
    }
    if (unread.len - sizeof header < payload_bytes)
        return false;
    channel->frame_fds_in = le16toh(header.fd_count);
    if (channel->frame_fds_in > fd_queue_count(&channel->fds_in)) {
        channel_end(channel, "the peer sent a frame without its file descriptor");
        return false;
    }
    channel->input_at += sizeof header + payload_bytes;
    if (!channel->events->received(channel->owner, channel, le16toh(header.number),
                                   str_of(unread.ptr + sizeof header, payload_bytes)))
        channel_end(channel, "the peer sent a message that is not understood");
    /* What the receiver did not want. */
    fd_queue_drop(&channel->fds_in, channel->frame_fds_in);
    channel->frame_fds_in = 0;
    return true;
}

static void shrink_input(struct channel *channel)
{
    if (channel->input_at < channel->input.len)
        return;
    channel->input_at = 0;
    buf_clear(&channel->input);
    if (channel->input.capacity > KEEP_BYTES)
        buf_free(&channel->input);
    channel->read_bytes = READ_FIRST_BYTES;
}

static void receive_frames(struct channel *channel)
{
    size_t turn_bytes = 0;

    channel->is_dispatching = true;
    while (dispatch_one(channel)) /* what a pause left */
        ;
    while (channel->closed_reason == NULL && channel->is_readable && !channel->is_paused &&
           turn_bytes < TURN_BYTES) {
        turn_bytes += receive_some(channel);
        while (dispatch_one(channel))
            ;
    }
    channel->is_dispatching = false;
    shrink_input(channel);
    if (channel->is_readable && channel->closed_reason == NULL && !channel->is_paused)
        timer_set(channel->loop, &channel->later, loop_now_ms(channel->loop),
                  channel->later.expired);
}

void channel_pause(struct channel *channel)
{
    channel->is_paused = true;
}

void channel_resume(struct channel *channel)
{
    if (!channel->is_paused)
        return;
    channel->is_paused = false;
    timer_set(channel->loop, &channel->later, loop_now_ms(channel->loop), channel->later.expired);
}

/* ---- the loop's side ---- */

static void channel_ready(struct watch *watch, uint32_t events)
{
    struct channel *channel = list_entry(watch, struct channel, watch);

    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        channel->has_hangup = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        channel->is_readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        channel->is_writable = true;
    /* What waits to go out goes before the loop sleeps. */
    if (channel->is_readable)
        receive_frames(channel);
}

static void do_later(struct timer *timer)
{
    struct channel *channel = list_entry(timer, struct channel, later);

    if (channel->closed_reason != NULL && !list_is_empty(&channel->room_waiters)) {
        /* They are runnable; the owner may free the channel only when they have left it. */
        timer_set(channel->loop, timer, loop_now_ms(channel->loop), timer->expired);
        return;
    }
    if (channel->closed_reason != NULL) {
        channel->events->closed(channel->owner, channel, channel->closed_reason);
        return;
    }
    if (channel->is_broken && !channel->is_paused) {
        channel->is_readable = true;
        while (channel->is_readable && channel->closed_reason == NULL && !channel->is_paused)
            receive_frames(channel);
        if (channel->is_paused)
            return; /* channel_resume comes back here */
        channel_end(channel, "the peer closed the channel");
        return;
    }
    channel->is_writable = true; /* worth an attempt */
    receive_frames(channel);
}

struct channel *channel_new(struct loop *loop, int fd, const struct channel_events *events,
                            void *owner, struct error *error)
{
    autoclose int owned = fd;

    if (!fd_set_nonblocking(fd, error))
        return NULL;
    struct channel *channel = memory_new(sizeof *channel);
    channel->loop = loop;
    channel->events = events;
    channel->owner = owner;
    channel->is_writable = true;
    channel->read_bytes = READ_FIRST_BYTES;
    channel->later.expired = do_later;
    list_init(&channel->room_waiters);
    if (!watch_open(loop, &channel->watch, fd, EVENTS_IN, channel_ready, error)) {
        memory_free(channel);
        return NULL;
    }
    channel->fd = fd_take(&owned);
    loop_before_sleep(loop, &channel->flush, flush_before_sleep);
    return channel;
}

void channel_free(struct channel **channel)
{
    struct channel *freed = *channel;

    if (freed == NULL)
        return;
    ensure(!freed->is_dispatching && list_is_empty(&freed->room_waiters));
    channel_flush(freed);
    before_sleep_remove(&freed->flush);
    watch_close(freed->loop, &freed->watch);
    timer_clear(freed->loop, &freed->later);
    close(freed->fd);
    fd_queue_free(&freed->fds_in);
    fd_queue_free(&freed->fds_out);
    buf_free(&freed->input);
    buf_free(&freed->output);
    memory_free(freed);
    *channel = NULL;
}

/* ---- for tools ---- */

bool channel_send_blocking(int fd, uint16_t number, struct str payload, struct error *error)
{
    struct header header = { .payload_bytes = htole32((uint32_t)payload.len),
                             .number = htole16(number) };

    ensure(payload.len <= CHANNEL_FRAME_MAX);
    return fd_write_all(fd, str_of((const char *)&header, sizeof header), "a channel", error) &&
           fd_write_all(fd, payload, "a channel", error);
}

enum { INPUT_BYTES = 256 * 1024 }; /* read at once */

/* At least so many bytes are there, but at the end of the stream. */
static bool input_fill(struct channel_input *input, size_t wanted, struct error *error)
{
    while (input->bytes.len - input->used < wanted) {
        buf_consume(&input->bytes, input->used);
        input->used = 0;
        char *room = buf_reserve(&input->bytes, INPUT_BYTES);
        ssize_t part = read(input->fd, room, INPUT_BYTES);
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return error_errno(error, "read from a channel");
        if (part == 0)
            return true;
        buf_commit(&input->bytes, (size_t)part);
    }
    return true;
}

static struct str input_bytes(const struct channel_input *input)
{
    return str_skip(buf_str(&input->bytes), input->used);
}

bool channel_receive_blocking(struct channel_input *input, uint16_t *number, struct buf *payload,
                              struct error *error)
{
    struct header header;

    *number = 0;
    buf_clear(payload);
    if (!input_fill(input, sizeof header, error))
        return false;
    struct str bytes = input_bytes(input);
    if (bytes.len == 0)
        return true;
    if (bytes.len < sizeof header)
        return error_set(error, "the peer closed the channel inside a frame");
    memcpy(&header, bytes.ptr, sizeof header);
    size_t payload_bytes = le32toh(header.payload_bytes);
    if (payload_bytes > CHANNEL_FRAME_MAX)
        return error_set(error, "the peer sent a frame beyond the limit");
    if (!input_fill(input, sizeof header + payload_bytes, error))
        return false;
    bytes = str_skip(input_bytes(input), sizeof header);
    if (bytes.len < payload_bytes)
        return error_set(error, "the peer closed the channel inside a frame");
    buf_append(payload, str_take(bytes, payload_bytes));
    if (payload->len != payload_bytes)
        return error_set(error, "a frame of %zu bytes does not fit", payload_bytes);
    input->used += sizeof header + payload_bytes;
    *number = le16toh(header.number);
    return true;
}
