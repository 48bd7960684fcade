/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"
#include "net/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    READ_FIRST_BYTES = 8 * 1024, /* grows while reads fill it */
    READ_MAX_BYTES = 64 * 1024,
    OUTPUT_MAX_BYTES = 64 * 1024,
    EVENTS_IN = EPOLLIN | EPOLLRDHUP,
    EVENTS_HANGUP = EPOLLRDHUP | EPOLLHUP | EPOLLERR,
};

struct stream {
    struct loop *loop;
    struct watch watch;
    /* What the last edge said, until a call found otherwise. */
    bool is_readable, is_writable;
    bool has_hangup;     /* the end is near: a short read does not mean "drained" */
    bool has_ended;      /* the peer's end was read */
    bool watches_output; /* from the first time that output did not fit */
    int failure;         /* errno of the last STREAM_FAILED */
    struct buf input;
    size_t input_at;   /* what stands before was consumed */
    size_t scanned;    /* so many bytes from input_at on hold no LF */
    size_t seen;       /* what stream_read_some returned and nobody consumed */
    size_t read_bytes; /* the next portion */
    struct buf output;
    size_t output_at;
    /* With TLS: what is above is in clear, what travels stands here. */
    struct tls *tls;
    bool has_sealed_input; /* the TLS side may hold more that it has received already */
    struct buf sealed;
    size_t sealed_at;
    struct fiber *waiter;
    bool waits_for_input, waits_for_output;
    /* Parking. The timer may be set earlier than the deadline, as in fiber.c. */
    struct timer timer;
    int64_t park_deadline_ms;
    void (*parked_ready)(void *argument, bool is_timeout);
    void *parked_argument;
};

static size_t output_in_clear(const struct stream *stream)
{
    return stream->output.len - stream->output_at;
}

static size_t output_left(const struct stream *stream)
{
    return output_in_clear(stream) + stream->sealed.len - stream->sealed_at;
}

static bool may_receive(const struct stream *stream)
{
    return stream->is_readable || stream->has_sealed_input;
}

struct str stream_pending(const struct stream *stream)
{
    return str_skip(buf_str(&stream->input), stream->input_at);
}

int stream_fd(const struct stream *stream)
{
    return stream->watch.fd;
}

int stream_errno(const struct stream *stream)
{
    return stream->failure;
}

const char *stream_outcome_text(enum stream_outcome outcome)
{
    switch (outcome) {
    case STREAM_OK:
        return "no error";
    case STREAM_CLOSED:
    case STREAM_FAILED:
        return "lost connection";
    case STREAM_TIMEOUT:
        return "timeout";
    case STREAM_TOO_LONG:
        return "line too long";
    case STREAM_CANCELLED:
        return "shutdown";
    }
    unreachable();
}

static enum stream_outcome fail(struct stream *stream)
{
    stream->failure = errno;
    return STREAM_FAILED;
}

/* ---- writing ---- */

static void output_sent(struct stream *stream, size_t count)
{
    stream->output_at += count;
    if (output_in_clear(stream) > 0)
        return;
    buf_clear(&stream->output);
    stream->output_at = 0;
}

static void drop_output(struct stream *stream)
{
    output_sent(stream, output_in_clear(stream));
    buf_clear(&stream->sealed);
    stream->sealed_at = 0;
}

/* From now on the loop says when there is room again. */
static bool watch_output(struct stream *stream)
{
    struct error error;

    stream->is_writable = false;
    if (stream->watches_output)
        return true;
    stream->watches_output = true;
    if (watch_change(stream->loop, &stream->watch, EVENTS_IN | EPOLLOUT, &error))
        return true;
    errno = error.system_errno;
    return false;
}

/* One send; STREAM_OK with 0 where there is no room. */
static enum stream_outcome send_parts(struct stream *stream, struct msghdr *message, size_t *count)
{
    ssize_t sent;

    *count = 0;
    do
        sent = sendmsg(stream->watch.fd, message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN)
        return fail(stream);
    if (sent < 0)
        return watch_output(stream) ? STREAM_OK : fail(stream);
    *count = (size_t)sent;
    return STREAM_OK;
}

/* Seals the gathered output and then `more`, as much as may wait for the socket. */
static enum stream_outcome seal_some(struct stream *stream, struct str *more)
{
    size_t count;

    while (stream->sealed.len < OUTPUT_MAX_BYTES && output_in_clear(stream) + more->len > 0) {
        bool is_gathered = output_in_clear(stream) > 0;
        struct str part =
            is_gathered ? str_skip(buf_str(&stream->output), stream->output_at) : *more;
        if (tls_write(stream->tls, part, &count) != TLS_DONE) {
            errno = EPROTO;
            return fail(stream);
        }
        if (is_gathered)
            output_sent(stream, count);
        else
            *more = str_skip(*more, count);
    }
    return STREAM_OK;
}

static enum stream_outcome send_sealed(struct stream *stream, struct str *more)
{
    enum stream_outcome outcome = STREAM_OK;
    size_t count;

    while (outcome == STREAM_OK && stream->is_writable && output_left(stream) + more->len > 0) {
        if (stream->sealed_at == stream->sealed.len) {
            buf_clear(&stream->sealed);
            stream->sealed_at = 0;
        }
        outcome = seal_some(stream, more);
        if (outcome != STREAM_OK)
            break;
        struct iovec part = { stream->sealed.ptr + stream->sealed_at,
                              stream->sealed.len - stream->sealed_at };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
        outcome = send_parts(stream, &message, &count);
        stream->sealed_at += count;
    }
    return outcome;
}

/* Sends what is gathered and then `more`, as far as that does not block; takes off `more` what
 * went out. */
static enum stream_outcome send_some(struct stream *stream, struct str *more)
{
    size_t count;

    if (stream->tls != NULL)
        return send_sealed(stream, more);
    while (stream->is_writable && output_left(stream) + more->len > 0) {
        size_t gathered = output_in_clear(stream);
        struct iovec parts[2] = {
            { stream->output.ptr + stream->output_at, gathered },
            { (void *)(uintptr_t)more->ptr, more->len },
        };
        struct msghdr message = { .msg_iov = gathered > 0 ? parts : parts + 1,
                                  .msg_iovlen = (gathered > 0) + (more->len > 0) };
        if (send_parts(stream, &message, &count) != STREAM_OK)
            return STREAM_FAILED;
        size_t of_gathered = count < gathered ? count : gathered;
        output_sent(stream, of_gathered);
        *more = str_skip(*more, count - of_gathered);
    }
    return STREAM_OK;
}

/* ---- waiting ---- */

static bool may_go_on(const struct stream *stream)
{
    return (stream->waits_for_input && may_receive(stream)) ||
           (stream->waits_for_output && stream->is_writable);
}

static enum stream_outcome wait_until_ready(struct stream *stream, const char *what,
                                            int64_t deadline_ms)
{
    enum wake wake = WAKE_READY;

    ensure(stream->waiter == NULL);
    stream->waiter = fiber_current(stream->loop);
    while (wake == WAKE_READY && !may_go_on(stream))
        wake = fiber_wait(stream->loop, what, deadline_ms);
    stream->waiter = NULL;
    stream->waits_for_input = stream->waits_for_output = false;
    if (wake == WAKE_CANCELLED)
        return STREAM_CANCELLED;
    return wake == WAKE_TIMEOUT ? STREAM_TIMEOUT : STREAM_OK;
}

static enum stream_outcome send_all(struct stream *stream, struct str more, int64_t deadline_ms)
{
    enum stream_outcome outcome = send_some(stream, &more);

    while (outcome == STREAM_OK && output_left(stream) + more.len > 0) {
        stream->waits_for_output = true;
        outcome = wait_until_ready(stream, "room to write", deadline_ms);
        if (outcome == STREAM_OK)
            outcome = send_some(stream, &more);
    }
    return outcome;
}

enum stream_outcome stream_flush(struct stream *stream, int64_t deadline_ms)
{
    return send_all(stream, STR(""), deadline_ms);
}

enum stream_outcome stream_write(struct stream *stream, struct str bytes, int64_t deadline_ms)
{
    if (output_left(stream) + bytes.len > OUTPUT_MAX_BYTES)
        return send_all(stream, bytes, deadline_ms);
    if (stream->output_at > 0) {
        buf_consume(&stream->output, stream->output_at);
        stream->output_at = 0;
    }
    buf_append(&stream->output, bytes);
    return STREAM_OK;
}

/* ---- reading ---- */

/* Room for one portion at the end of the input; what was consumed makes way. */
static char *input_room(struct stream *stream)
{
    if (stream->input_at == stream->input.len) {
        buf_clear(&stream->input);
        stream->input_at = 0;
    } else if (stream->input_at >= stream->input.len / 2) {
        buf_consume(&stream->input, stream->input_at);
        stream->input_at = 0;
    }
    return buf_reserve(&stream->input, stream->read_bytes);
}

/* What TLS gave of it; STREAM_OK: bytes, or nothing more to be had now. */
static enum stream_outcome receive_unsealed(struct stream *stream)
{
    struct str nothing = STR("");
    char *room = input_room(stream);
    size_t count;

    switch (tls_read(stream->tls, room, stream->read_bytes, &count)) {
    case TLS_DONE:
        buf_commit(&stream->input, count);
        stream->has_sealed_input = true;
        if (count == stream->read_bytes && stream->read_bytes < READ_MAX_BYTES)
            stream->read_bytes *= 2;
        return STREAM_OK;
    case TLS_WANTS_INPUT:
        stream->has_sealed_input = false;
        return STREAM_OK;
    case TLS_ENDED:
        stream->has_ended = true;
        return STREAM_CLOSED;
    case TLS_FAILED:
        break;
    }
    stream->has_ended = true;
    (void)send_some(stream, &nothing); /* the alert */
    errno = EPROTO;
    return fail(stream);
}

/* STREAM_OK: bytes arrived, or may_receive is false now. */
static enum stream_outcome receive_some(struct stream *stream)
{
    if (stream->tls != NULL)
        return receive_unsealed(stream);
    size_t room_bytes = stream->read_bytes;
    char *room = input_room(stream);
    ssize_t count = recv(stream->watch.fd, room, room_bytes, MSG_DONTWAIT);

    if (count < 0 && errno == EINTR)
        return STREAM_OK;
    if (count < 0 && errno != EAGAIN)
        return fail(stream);
    if (count == 0) {
        stream->has_ended = true;
        return STREAM_CLOSED;
    }
    if (count > 0)
        buf_commit(&stream->input, (size_t)count);
    bool is_full = count > 0 && (size_t)count == room_bytes;
    stream->is_readable = is_full || (count > 0 && stream->has_hangup);
    if (is_full && room_bytes < READ_MAX_BYTES)
        stream->read_bytes *= 2;
    return STREAM_OK;
}

/* At least one byte more; flushes before it waits. */
static enum stream_outcome receive_more(struct stream *stream, int64_t deadline_ms)
{
    size_t unread = stream_pending(stream).len;
    enum stream_outcome outcome = STREAM_OK;
    struct str nothing = STR("");

    if (stream->has_ended)
        return STREAM_CLOSED;
    while (outcome == STREAM_OK && stream_pending(stream).len == unread) {
        if (may_receive(stream)) {
            outcome = receive_some(stream);
            continue;
        }
        if (send_some(stream, &nothing) != STREAM_OK) {
            /* The peer may have said why before it went. */
            drop_output(stream);
            stream->is_readable = true;
            continue;
        }
        stream->waits_for_input = true;
        stream->waits_for_output = output_left(stream) > 0;
        outcome = wait_until_ready(stream, "input", deadline_ms);
    }
    return outcome;
}

void stream_consume(struct stream *stream, size_t count)
{
    ensure(count <= stream->input.len - stream->input_at);
    if (count == 0)
        return;
    stream->input_at += count;
    stream->scanned = 0;
    stream->seen = 0;
}

static void take_line(struct stream *stream, size_t len, struct str *line, bool *had_cr)
{
    *line = str_of(stream_pending(stream).ptr, len);
    stream_consume(stream, len + 1);
    bool has_cr = len > 0 && line->ptr[len - 1] == '\r';
    if (has_cr)
        line->len--;
    if (had_cr != NULL)
        *had_cr = has_cr;
}

enum stream_outcome stream_read_line(struct stream *stream, size_t limit_bytes, int64_t deadline_ms,
                                     struct str *line, bool *had_cr)
{
    for (;;) {
        struct str unread = stream_pending(stream);
        ptrdiff_t found = str_find_byte(str_skip(unread, stream->scanned), '\n');
        size_t len = found >= 0 ? stream->scanned + (size_t)found : unread.len;
        size_t with_cr = len > 0 && unread.ptr[len - 1] == '\r';
        if (len - with_cr > limit_bytes)
            return STREAM_TOO_LONG;
        if (found >= 0) {
            take_line(stream, len, line, had_cr);
            return STREAM_OK;
        }
        stream->scanned = unread.len;
        enum stream_outcome outcome = receive_more(stream, deadline_ms);
        if (outcome != STREAM_OK)
            return outcome;
    }
}

enum stream_outcome stream_read_some(struct stream *stream, int64_t deadline_ms, struct str *bytes)
{
    enum stream_outcome outcome = STREAM_OK;

    if (stream_pending(stream).len <= stream->seen)
        outcome = receive_more(stream, deadline_ms);
    *bytes = stream_pending(stream);
    stream->seen = bytes->len;
    return outcome;
}

void stream_shrink(struct stream *stream)
{
    if (stream->input_at == stream->input.len) {
        buf_free(&stream->input);
        stream->input_at = 0;
        stream->read_bytes = READ_FIRST_BYTES;
        stream->scanned = 0;
    }
    if (output_left(stream) == 0) {
        buf_free(&stream->output);
        buf_free(&stream->sealed);
        stream->sealed_at = 0;
    }
}

/* ---- TLS ---- */

static ssize_t tls_receive(void *argument, char *room, size_t room_bytes)
{
    struct stream *stream = argument;
    ssize_t count = -1;

    errno = EAGAIN;
    if (!stream->is_readable)
        return -1;
    do
        count = recv(stream->watch.fd, room, room_bytes, MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    if (count < 0 && errno == EAGAIN)
        stream->is_readable = false;
    else if (count > 0)
        stream->is_readable = (size_t)count == room_bytes || stream->has_hangup;
    return count;
}

static void tls_send(void *argument, struct str bytes)
{
    struct stream *stream = argument;

    buf_append(&stream->sealed, bytes);
}

static enum stream_outcome shake_hands(struct stream *stream, int64_t deadline_ms)
{
    enum stream_outcome outcome;
    struct str nothing = STR("");

    for (;;) {
        enum tls_progress progress = tls_handshake(stream->tls);
        if (progress == TLS_DONE)
            return STREAM_OK; /* its last words go with the first of what follows */
        outcome = send_some(stream, &nothing);
        if (progress == TLS_ENDED || outcome != STREAM_OK)
            return STREAM_CLOSED;
        if (progress == TLS_FAILED)
            return STREAM_FAILED;
        stream->waits_for_input = true;
        stream->waits_for_output = output_left(stream) > 0;
        outcome = wait_until_ready(stream, "TLS handshake", deadline_ms);
        if (outcome != STREAM_OK)
            return outcome;
    }
}

enum stream_outcome stream_start_tls(struct stream *stream, struct tls **tls, int64_t deadline_ms)
{
    struct tls_transport transport = { tls_receive, tls_send, stream };
    enum stream_outcome outcome = stream_flush(stream, deadline_ms);

    ensure(stream->tls == NULL && str_is_empty(stream_pending(stream)));
    stream->tls = *tls;
    *tls = NULL;
    tls_set_transport(stream->tls, &transport);
    if (outcome == STREAM_OK)
        outcome = shake_hands(stream, deadline_ms);
    stream->has_sealed_input = outcome == STREAM_OK;
    if (outcome != STREAM_OK)
        stream->has_ended = true;
    return outcome;
}

struct tls *stream_tls(const struct stream *stream)
{
    return stream->tls;
}

/* Unpacks what has arrived: of a TLS connection only that tells whether the peer said anything.
 * Also lets go of the memory of what is unpacked. False at the end of the stream. */
static bool unpack(struct stream *stream)
{
    while (stream->tls != NULL && !stream->has_ended && may_receive(stream) &&
           str_is_empty(stream_pending(stream))) {
        if (receive_some(stream) != STREAM_OK)
            return false;
    }
    return true;
}

/* ---- parking ---- */

static bool has_news(const struct stream *stream)
{
    return may_receive(stream) || stream->has_ended || stream_pending(stream).len > 0;
}

void stream_unpark(struct stream *stream)
{
    stream->parked_ready = NULL;
}

static void end_parking(struct stream *stream, bool is_timeout)
{
    void (*parked_ready)(void *argument, bool is_timeout) = stream->parked_ready;

    stream->parked_ready = NULL;
    parked_ready(stream->parked_argument, is_timeout);
}

static void park_expired(struct timer *timer)
{
    struct stream *stream = list_entry(timer, struct stream, timer);
    bool is_broken = false;

    if (stream->parked_ready == NULL)
        return;
    if (stream->is_readable && stream_pending(stream).len == 0)
        is_broken = stream->tls != NULL ? !unpack(stream) : receive_some(stream) != STREAM_OK;
    if (is_broken || has_news(stream))
        end_parking(stream, false);
    else if (stream->park_deadline_ms == DEADLINE_NEVER)
        return;
    else if (stream->park_deadline_ms <= loop_now_ms(stream->loop))
        end_parking(stream, true);
    else
        timer_set(stream->loop, timer, stream->park_deadline_ms, park_expired);
}

void stream_park(struct stream *stream, int64_t deadline_ms,
                 void (*parked_ready)(void *argument, bool is_timeout), void *argument)
{
    struct str nothing = STR("");

    ensure(stream->waiter == NULL && stream->parked_ready == NULL);
    stream->park_deadline_ms = deadline_ms;
    stream->parked_ready = parked_ready;
    stream->parked_argument = argument;
    /* A failure shows as the end of the stream. */
    bool is_broken = send_some(stream, &nothing) != STREAM_OK || !unpack(stream);
    if (stream->tls != NULL && !is_broken)
        stream_shrink(stream);
    int64_t first_ms = is_broken || has_news(stream) ? loop_now_ms(stream->loop) : deadline_ms;
    if (is_broken)
        stream->is_readable = true;
    if (first_ms != DEADLINE_NEVER &&
        (stream->timer.heap_slot == 0 || stream->timer.deadline_ms > first_ms))
        timer_set(stream->loop, &stream->timer, first_ms, park_expired);
}

/* ---- the life of a stream ---- */

static void stream_ready(struct watch *watch, uint32_t events)
{
    struct stream *stream = list_entry(watch, struct stream, watch);
    struct str nothing = STR("");

    if (events & (EPOLLIN | EVENTS_HANGUP))
        stream->is_readable = true;
    if (events & EVENTS_HANGUP)
        stream->has_hangup = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        stream->is_writable = true;
    if (stream->waiter != NULL && may_go_on(stream))
        fiber_wake(stream->waiter);
    if (stream->parked_ready == NULL)
        return;
    if (output_left(stream) > 0 && send_some(stream, &nothing) != STREAM_OK)
        stream->is_readable = true;
    (void)unpack(stream);
    if (has_news(stream))
        end_parking(stream, false);
}

static struct stream *stream_open(struct loop *loop, int fd, uint32_t events, struct error *error)
{
    autoclose int owned = fd;

    if (!fd_set_nonblocking(fd, error))
        return NULL;
    struct stream *stream = memory_new(sizeof *stream);
    stream->loop = loop;
    stream->read_bytes = READ_FIRST_BYTES;
    stream->watches_output = events & EPOLLOUT;
    stream->is_writable = !stream->watches_output;
    if (!watch_open(loop, &stream->watch, fd, events, stream_ready, error)) {
        memory_free(stream);
        return NULL;
    }
    fd_take(&owned);
    return stream;
}

struct stream *stream_new(struct loop *loop, int fd, struct error *error)
{
    return stream_open(loop, fd, EVENTS_IN, error);
}

void stream_free(struct stream **stream)
{
    struct stream *freed = *stream;

    if (freed == NULL)
        return;
    ensure(freed->waiter == NULL);
    if (freed->tls != NULL && !freed->has_ended) {
        struct str nothing = STR("");
        tls_close(freed->tls);
        (void)send_some(freed, &nothing);
    }
    tls_free(&freed->tls);
    buf_free(&freed->sealed);
    int fd = freed->watch.fd;
    watch_close(freed->loop, &freed->watch);
    close(fd);
    timer_clear(freed->loop, &freed->timer);
    buf_free(&freed->input);
    buf_free(&freed->output);
    memory_free(freed);
    *stream = NULL;
}

/* ---- connecting ---- */

static bool begin_connect(int fd, const struct sockaddr *address, socklen_t address_len,
                          const struct sockaddr *bind_address)
{
    socklen_t bind_len = 0;
    int one = 1;

    /* Output leaves in whole batches already. Not a TCP socket: no harm. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind_address != NULL)
        bind_len = bind_address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                                      : sizeof(struct sockaddr_in6);
    if (bind_address != NULL && bind(fd, bind_address, bind_len) < 0)
        return false;
    return connect(fd, address, address_len) == 0 || errno == EINPROGRESS;
}

static enum stream_outcome connect_failed(struct error *error, int code)
{
    error_set(error, "%s", strerror(code));
    error->system_errno = code;
    return STREAM_FAILED;
}

/* The kernel's word on a connection attempt that has ended. */
static enum stream_outcome connect_result(struct stream *stream, struct error *error)
{
    int code = 0;
    socklen_t len = sizeof code;

    getsockopt(stream->watch.fd, SOL_SOCKET, SO_ERROR, &code, &len);
    return code == 0 ? STREAM_OK : connect_failed(error, code);
}

enum stream_outcome stream_await_connect(struct loop *loop, int fd, int64_t deadline_ms,
                                         struct stream **stream, struct error *error)
{
    struct stream *opened = stream_open(loop, fd, EVENTS_IN | EPOLLOUT, error);

    if (opened == NULL)
        return STREAM_FAILED;
    opened->waits_for_output = true;
    enum stream_outcome outcome = wait_until_ready(opened, "connection", deadline_ms);
    if (outcome == STREAM_TIMEOUT)
        connect_failed(error, ETIMEDOUT);
    else if (outcome == STREAM_CANCELLED)
        connect_failed(error, ECANCELED);
    else
        outcome = connect_result(opened, error);
    if (outcome == STREAM_OK)
        *stream = opened;
    else
        stream_free(&opened);
    return outcome;
}

enum stream_outcome stream_connect(struct loop *loop, const struct sockaddr *address,
                                   socklen_t address_len, const struct sockaddr *bind_address,
                                   int64_t deadline_ms, struct stream **stream, struct error *error)
{
    autoclose int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || !begin_connect(fd, address, address_len, bind_address))
        return connect_failed(error, errno);
    return stream_await_connect(loop, fd_take(&fd), deadline_ms, stream, error);
}
