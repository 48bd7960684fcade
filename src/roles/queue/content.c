/* SPDX-License-Identifier: Apache-2.0 */
#include "content.h"

#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"
#include "queue.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { YIELD_BYTES = 512 * 1024 };

void content_keep(struct message *message, struct str content)
{
    struct content_cache *cache = &message->queue->content_cache;

    if (message->content != NULL || content.len > CONTENT_INLINE_MAX ||
        cache->used_bytes + content.len > CONTENT_CACHE_BYTES)
        return;
    message->content = memory_resize(NULL, content.len + 1);
    memcpy(message->content, content.ptr, content.len);
    message->content_len = content.len;
    cache->used_bytes += content.len;
}

void content_drop(struct message *message)
{
    if (message->content == NULL)
        return;
    message->queue->content_cache.used_bytes -= message->content_len;
    memory_free(message->content);
    message->content = NULL;
    message->content_len = 0;
}

static enum content_kind failed_kind(enum store_outcome outcome)
{
    switch (outcome) {
    case STORE_DAMAGED:
        return CONTENT_DAMAGED;
    case STORE_ABSENT:
        return CONTENT_GONE;
    case STORE_OK:
    case STORE_EXISTS:
    case STORE_FULL:
    case STORE_UNKNOWN:
    case STORE_FAILED:
        return CONTENT_FAILED;
    }
    unreachable();
}

static bool append_portion(void *argument, struct str bytes)
{
    struct buf *head = argument;

    buf_append(head, str_take(bytes, head->limit - head->len));
    return head->len < head->limit;
}

static enum content_kind pin_inline(struct message *message, struct error *error)
{
    /* One byte more than fits shows that the envelope's size was wrong. */
    struct buf content = { .limit = CONTENT_INLINE_MAX + 1 };
    struct queue *queue = message->queue;
    enum store_outcome outcome =
        store_read_content(queue->store, message->queue_id, append_portion, &content, error);

    if (outcome != STORE_OK || content.len > CONTENT_INLINE_MAX) {
        buf_free(&content);
        return outcome != STORE_OK ? failed_kind(outcome) : CONTENT_BESIDE;
    }
    /* Pinned, so it may pass the cache's bound; the bound on deliveries holds it. */
    queue->content_cache.used_bytes += content.len;
    message->content_len = content.len;
    message->content = content.ptr != NULL ? content.ptr : memory_new(1);
    return CONTENT_INLINE;
}

struct copy {
    struct loop *loop;
    struct error *error;
    size_t unyielded_bytes;
    int fd;
    bool is_failed;
};

static bool copy_portion(void *argument, struct str bytes)
{
    struct copy *copy = argument;

    if (!fd_write_all(copy->fd, bytes, "message content in memory", copy->error)) {
        copy->is_failed = true;
        return false;
    }
    copy->unyielded_bytes += bytes.len;
    if (copy->unyielded_bytes >= YIELD_BYTES && fiber_current(copy->loop) != NULL) {
        copy->unyielded_bytes = 0;
        fiber_yield(copy->loop);
    }
    return true;
}

static enum content_kind pin_beside(struct message *message, struct error *error)
{
    enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };
    autoclose int fd = memfd_create("waypost-content", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct copy copy = { .loop = message->queue->loop, .error = error, .fd = fd };

    if (fd < 0) {
        error_errno(error, "memfd_create");
        return CONTENT_FAILED;
    }
    enum store_outcome outcome =
        store_read_content(message->queue->store, message->queue_id, copy_portion, &copy, error);
    if (outcome != STORE_OK)
        return failed_kind(outcome);
    if (copy.is_failed)
        return CONTENT_FAILED;
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
        error_errno(error, "seal message content");
        return CONTENT_FAILED;
    }
    if (message->content_fd < 0) /* another delivery may have been quicker */
        message->content_fd = fd_take(&fd);
    return CONTENT_BESIDE;
}

bool content_needs_fiber(const struct message *message)
{
    return message->content == NULL && message->content_fd < 0 &&
           message->envelope.content_bytes > YIELD_BYTES;
}

enum content_kind content_pin(struct message *message, struct error *error)
{
    enum content_kind kind = CONTENT_BESIDE;

    message->content_users++;
    if (message->content != NULL || message_is_probe(message)) /* which has none */
        return CONTENT_INLINE;
    if (message->content_fd >= 0)
        return CONTENT_BESIDE;
    if (message->envelope.content_bytes <= CONTENT_INLINE_MAX)
        kind = pin_inline(message, error);
    if (kind == CONTENT_BESIDE)
        kind = pin_beside(message, error);
    if (kind != CONTENT_INLINE && kind != CONTENT_BESIDE)
        content_release(message);
    return kind;
}

void content_release(struct message *message)
{
    ensure(message->content_users > 0);
    if (--message->content_users > 0)
        return;
    fd_close(&message->content_fd);
    if (message->queue->content_cache.used_bytes > CONTENT_CACHE_BYTES)
        content_drop(message);
}

enum store_outcome content_read_head(struct message *message, size_t limit_bytes, struct buf *head,
                                     struct error *error)
{
    head->limit = limit_bytes;
    if (message->content != NULL) {
        buf_append(head, str_take(str_of(message->content, message->content_len), limit_bytes));
        return STORE_OK;
    }
    return store_read_content(message->queue->store, message->queue_id, append_portion, head,
                              error);
}
