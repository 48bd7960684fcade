/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message's content on its way to the workers. Small content stays in memory from its arrival
 * until the first active time ends, as far as the cache's bound allows, and is read from the store
 * otherwise; large content is read into a sealed memfd that all deliveries of the message share.
 */
#pragma once

#include "message.h"

enum {
    CONTENT_INLINE_MAX = 64 * 1024,
    CONTENT_CACHE_BYTES = 64 * 1024 * 1024, /* over all messages */
};

struct content_cache {
    size_t used_bytes;
};

/* Keeps a copy where it is small and the cache has room. */
void content_keep(struct message *message, struct str content);
/* Gives the cached copy back. */
void content_drop(struct message *message);

enum content_kind {
    CONTENT_INLINE, /* message->content, content_len */
    CONTENT_BESIDE, /* message->content_fd */
    CONTENT_DAMAGED,
    CONTENT_GONE,   /* the message is no longer in the store */
    CONTENT_FAILED, /* not now: no memory, or the store does not answer */
};
/* Makes the content available and pins it until content_release. Large content is read in steps
 * with a fiber_yield between them: call it in a fiber where content_needs_fiber says so. */
enum content_kind content_pin(struct message *message, struct error *error);
bool content_needs_fiber(const struct message *message);
void content_release(struct message *message);

/* Appends the beginning of the content, up to `limit_bytes`: for notifications. */
enum store_outcome content_read_head(struct message *message, size_t limit_bytes, struct buf *head,
                                     struct error *error);
