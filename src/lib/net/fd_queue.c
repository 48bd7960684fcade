/* SPDX-License-Identifier: Apache-2.0 */
#include "net/fd_queue.h"

#include "base/ensure.h"

#include <unistd.h>

struct entry {
    uint64_t position;
    int fd;
};

size_t fd_queue_count(const struct fd_queue *queue)
{
    return queue->entries.len / sizeof(struct entry) - queue->first;
}

static struct entry entry_at(const struct fd_queue *queue, size_t index)
{
    struct entry entry;

    ensure(index < fd_queue_count(queue));
    memcpy(&entry, queue->entries.ptr + (queue->first + index) * sizeof entry, sizeof entry);
    return entry;
}

void fd_queue_add(struct fd_queue *queue, uint64_t position, int fd)
{
    struct entry entry = { .position = position, .fd = fd };

    buf_append(&queue->entries, str_of((const char *)&entry, sizeof entry));
}

int fd_queue_fd(const struct fd_queue *queue, size_t index)
{
    return entry_at(queue, index).fd;
}

uint64_t fd_queue_position(const struct fd_queue *queue, size_t index)
{
    return entry_at(queue, index).position;
}

int fd_queue_take(struct fd_queue *queue)
{
    if (fd_queue_count(queue) == 0)
        return -1;
    int fd = fd_queue_fd(queue, 0);
    queue->first++;
    /* What was taken makes way now and then, so that a queue that never empties stays small. */
    if (queue->first * 2 >= queue->entries.len / sizeof(struct entry)) {
        buf_consume(&queue->entries, queue->first * sizeof(struct entry));
        queue->first = 0;
    }
    return fd;
}

void fd_queue_drop(struct fd_queue *queue, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fd_queue_take(queue));
}

void fd_queue_free(struct fd_queue *queue)
{
    fd_queue_drop(queue, fd_queue_count(queue));
    buf_free(&queue->entries);
}
