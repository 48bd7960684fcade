/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a connection between two roles: length-prefixed frames over a Unix stream socket.
 * Frames gather in memory and leave in one write before the loop sleeps. Messages and their
 * fields are declared in the .def files of wire/; wire/wire.h makes the typed functions from them.
 *
 * The receiver trusts nothing: a frame beyond CHANNEL_FRAME_MAX or one that does not decode closes
 * the channel, never the process.
 */
#pragma once

#include "base/buf.h"
#include "loop/fiber.h"

enum {
    CHANNEL_FRAME_MAX = 4 * 1024 * 1024,
    CHANNEL_ROOM_BYTES = 1024 * 1024, /* channel_wait_room waits while more than this is unsent */
};

struct channel;

struct channel_events {
    /* A whole frame: its number and payload, borrowed for this call. False: it was malformed, the
     * channel closes. May send on the channel; may not free it (return false to end it). */
    bool (*received)(void *owner, struct channel *channel, uint16_t number, struct str payload);
    /* The peer is gone, or sent garbage (`reason`). Called once, outside of any other call; the
     * owner frees the channel in here or later. */
    void (*closed)(void *owner, struct channel *channel, const char *reason);
};

/* Takes over `fd` (closes it on failure, too); NULL with `error` on failure. */
struct channel *channel_new(struct loop *loop, int fd, const struct channel_events *events,
                            void *owner, struct error *error);
/* Sends what goes without blocking; `closed` is not called any more. Not inside `received`. */
void channel_free(struct channel **channel);

/* Who hears of each channel that ends without channel_free, by its descriptor, which is still open
 * then: one listener in a process, the skeleton under its role (service/service.c). */
void channel_hear_ends(void (*ended)(void *argument, int fd), void *argument);

/* Appends one frame: start, fields into the returned buffer, end. wire.h calls these. */
struct buf *channel_frame_start(struct channel *channel, uint16_t number);
void channel_frame_end(struct channel *channel);
/* Sends a copy of `fd` along with the frame that is being written, at most 16 with each. */
void channel_attach_fd(struct channel *channel, int fd);
/* Inside `received`: the next descriptor that came with this frame, now the caller's; -1 when there
 * is none. Those that nobody takes are closed. */
int channel_take_fd(struct channel *channel);

/* Sends what waits as far as that does not block; happens by itself before the loop sleeps. */
void channel_flush(struct channel *channel);
size_t channel_unsent_bytes(const struct channel *channel);
/* Suspends the fiber until less than CHANNEL_ROOM_BYTES waits unsent: call before sending bulk.
 * When the channel closes meanwhile the result is WAKE_READY, too: what is sent then is dropped. */
enum wake channel_wait_room(struct channel *channel, int64_t deadline_ms);
bool channel_is_closed(const struct channel *channel);

/* Stops handing frames over and reading from the peer, so that it comes to wait, and goes on. May
 * be called inside `received`. The peer's end is noticed after resuming. */
void channel_pause(struct channel *channel);
void channel_resume(struct channel *channel);

/* For tools, which have no loop: a blocking exchange over a connected socket. Same frames. */
must_check bool channel_send_blocking(int fd, uint16_t number, struct str payload,
                                      struct error *error);
/* What is read beyond a frame waits here for the next one; the owner frees the buffer. */
struct channel_input {
    int fd;
    struct buf bytes;
    size_t used; /* of the bytes */
};
/* One frame into `payload` (cleared first). A clean end before a frame: returns true with
 * *number = 0. */
must_check bool channel_receive_blocking(struct channel_input *input, uint16_t *number,
                                         struct buf *payload, struct error *error);
