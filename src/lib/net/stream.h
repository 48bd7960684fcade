/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffered, non-blocking byte stream (a TCP or Unix connection, plain or with TLS inside) that a
 * fiber reads and writes as if it blocked, each call with a deadline. It belongs to one fiber at a
 * time. Between commands a conversation may end its fiber and park: the stream stays registered
 * and calls `parked_ready` when bytes (or the end) arrive.
 */
#pragma once

#include "base/buf.h"
#include "loop/fiber.h"

#include <sys/socket.h>

struct stream;
struct tls;

enum stream_outcome {
    STREAM_OK,
    STREAM_CLOSED,    /* the peer closed, nothing is left to read */
    STREAM_TIMEOUT,   /* the deadline passed */
    STREAM_TOO_LONG,  /* no line end within the limit; the bytes are still buffered */
    STREAM_FAILED,    /* a system error: stream_errno */
    STREAM_CANCELLED, /* the fiber was cancelled */
};

/* Takes over `fd` (makes it non-blocking and registers it); NULL with `error` on failure, and then
 * `fd` is closed too. */
struct stream *stream_new(struct loop *loop, int fd, struct error *error);
void stream_free(struct stream **stream); /* closes; unsent output is dropped */

/* A line without its line end: LF ends it, one CR before the LF is stripped (`*had_cr` tells, where
 * not NULL). The line borrows the stream's buffer until the next read. Output that waits is
 * flushed before the fiber sleeps. */
enum stream_outcome stream_read_line(struct stream *stream, size_t limit_bytes, int64_t deadline_ms,
                                     struct str *line, bool *had_cr);
/* All bytes that are there, at least one unless the outcome is not STREAM_OK: borrowed until the
 * next read; take them off with stream_consume. A call that follows another one with nothing
 * consumed in between waits for more. */
enum stream_outcome stream_read_some(struct stream *stream, int64_t deadline_ms, struct str *bytes);
void stream_consume(struct stream *stream, size_t count);
/* Bytes that are buffered unread: tells whether the client pipelined. */
struct str stream_pending(const struct stream *stream);
/* Drops the memory of buffers that are empty (before parking). */
void stream_shrink(struct stream *stream);

/* Gathers output in memory; goes out on stream_flush or before a read sleeps. Output beyond
 * 64 KiB is written while appending, so a fiber may wait in here up to the deadline. After anything
 * but STREAM_OK an unknown part of it went out: close the connection. */
enum stream_outcome stream_write(struct stream *stream, struct str bytes, int64_t deadline_ms);
enum stream_outcome stream_flush(struct stream *stream, int64_t deadline_ms);

/* TLS from here on (net/tls.h): flushes, shakes hands, and then everything above is about what is
 * inside. Takes over `*tls`. Nothing may be pending: what the peer sent in clear must not be taken
 * for what it says inside. After anything but STREAM_OK the connection is to be closed; on
 * STREAM_FAILED tls_problem(stream_tls(…)) may say why. */
enum stream_outcome stream_start_tls(struct stream *stream, struct tls **tls, int64_t deadline_ms);
struct tls *stream_tls(const struct stream *stream); /* NULL: it is plain */

/* Parking: from now on `parked_ready(argument)` is called in the loop, once, when input or the end
 * of the stream is there, or when the deadline passes (`is_timeout`). Ends with that call or
 * with stream_unpark. */
void stream_park(struct stream *stream, int64_t deadline_ms,
                 void (*parked_ready)(void *argument, bool is_timeout), void *argument);
void stream_unpark(struct stream *stream);

int stream_fd(const struct stream *stream);
int stream_errno(const struct stream *stream); /* of the last STREAM_FAILED */
/* "lost connection", "timeout", … in Postfix's words. */
const char *stream_outcome_text(enum stream_outcome outcome);

/* Connects a new socket; suspends the fiber. `bind_address` may be NULL. On anything but STREAM_OK
 * `error` says what failed ("Connection refused", …, without address) and no stream is made. */
enum stream_outcome stream_connect(struct loop *loop, const struct sockaddr *address,
                                   socklen_t address_len, const struct sockaddr *bind_address,
                                   int64_t deadline_ms, struct stream **stream,
                                   struct error *error);
/* The second half of it, for a socket whose connect was begun elsewhere; takes over `fd`. */
enum stream_outcome stream_await_connect(struct loop *loop, int fd, int64_t deadline_ms,
                                         struct stream **stream, struct error *error);
