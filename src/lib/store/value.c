/* SPDX-License-Identifier: Apache-2.0 */
#include "store/environment.h"

#include <errno.h>
#include <unistd.h>

/* LMDB's header of a page run, as 0.9 writes it. */
struct run_header {
    uint64_t page;
    uint16_t padding;
    uint16_t flags;
    uint32_t pages;
};

enum { RUN_FLAG = 4 };

/* True when the value lies in mapped pages of its own; a value in a leaf, or one that this batch
 * has written and which is still in memory, does not. */
static bool is_mapped_run(const struct store *store, MDB_val value)
{
    const char *start = value.mv_data;

    return value.mv_size > LEAF_VALUE_MAX_BYTES && store->base != NULL && start >= store->base &&
           start < store->base + map_bytes &&
           (size_t)(start - store->base) % PAGE_BYTES == PAGE_HEADER_BYTES;
}

static bool read_at(int fd, off_t offset, size_t len, char *out, struct error *error)
{
    while (len > 0) {
        ssize_t count = pread(fd, out, len, offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_errno(error, "read the queue's data file at byte %lld", (long long)offset);
        if (count == 0)
            return error_set(error, "the queue's data file ends at byte %lld: was it truncated?",
                             (long long)offset);
        out += count;
        offset += count;
        len -= (size_t)count;
    }
    return true;
}

/* Through the descriptor and not the mapping: an unreadable sector is then an error and no SIGBUS,
 * and a copy costs no page faults. */
bool value_read(const struct store *store, MDB_val value, size_t offset, size_t len, char *out,
                struct error *error)
{
    if (is_mapped_run(store, value))
        return read_at(store->data_fd, (const char *)value.mv_data - store->base + (off_t)offset,
                       len, out, error);
    memcpy(out, (const char *)value.mv_data + offset, len);
    return true;
}

static bool is_run_of(const struct run_header *header, off_t offset, size_t value_bytes)
{
    return header->page == (uint64_t)offset / PAGE_BYTES && header->flags == RUN_FLAG &&
           header->pages == pages_of_value(value_bytes);
}

static off_t run_offset(const struct store *store, MDB_val value)
{
    return (const char *)value.mv_data - store->base - PAGE_HEADER_BYTES;
}

bool value_is_deletable(const struct store *store, MDB_val value)
{
    struct run_header header;
    struct error ignored;

    if (!is_mapped_run(store, value))
        return true;
    off_t offset = run_offset(store, value);
    return read_at(store->data_fd, offset, sizeof header, (char *)&header, &ignored) &&
           is_run_of(&header, offset, value.mv_size);
}

bool value_read_start(const struct store *store, MDB_val value, size_t len, char *out,
                      bool *is_deletable, struct error *error)
{
    struct {
        struct run_header header;
        char start[VALUE_START_MAX];
    } both;

    *is_deletable = true;
    if (!is_mapped_run(store, value))
        return value_read(store, value, 0, len, out, error);
    off_t offset = run_offset(store, value);
    if (!read_at(store->data_fd, offset, sizeof both.header + len, (char *)&both, error))
        return false;
    *is_deletable = is_run_of(&both.header, offset, value.mv_size);
    memcpy(out, both.start, len);
    return true;
}
