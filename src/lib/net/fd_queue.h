/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors on their way through a channel, oldest first; the queue owns them. Belongs to
 * channel.c; nobody else includes this.
 */
#pragma once

#include "base/buf.h"

struct fd_queue {
    struct buf entries;
    size_t first;
};

size_t fd_queue_count(const struct fd_queue *queue);
/* `position` is for the sender: where in the stream of bytes the descriptor's frame begins. */
void fd_queue_add(struct fd_queue *queue, uint64_t position, int fd);
/* The index-th oldest; it stays in the queue. */
int fd_queue_fd(const struct fd_queue *queue, size_t index);
uint64_t fd_queue_position(const struct fd_queue *queue, size_t index);
/* The oldest one, now the caller's; -1 where there is none. */
int fd_queue_take(struct fd_queue *queue);
/* Closes the oldest ones. */
void fd_queue_drop(struct fd_queue *queue, size_t count);
void fd_queue_free(struct fd_queue *queue);
