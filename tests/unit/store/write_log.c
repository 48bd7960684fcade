/* SPDX-License-Identifier: Apache-2.0 */
#include "write_log.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* The interposed functions have no argument to carry this. */
static struct {
    bool is_on;
    dev_t device;
    ino_t inode;
    struct write_log_entry *entries;
    size_t count;
} record;

static struct write_log_entry *add(enum write_log_kind kind)
{
    record.entries = memory_resize(record.entries, (record.count + 1) * sizeof *record.entries);
    struct write_log_entry *entry = &record.entries[record.count++];
    *entry = (struct write_log_entry){ .kind = kind };
    return entry;
}

static bool is_ours(int fd)
{
    struct stat status;

    return record.is_on && fstat(fd, &status) == 0 && status.st_dev == record.device &&
           status.st_ino == record.inode;
}

static void note_write(int fd, const void *bytes, size_t len, off_t offset)
{
    struct write_log_entry *entry = add(LOG_WRITE);

    entry->offset = (uint64_t)offset;
    entry->is_meta = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    buf_append(&entry->bytes, str_of(bytes, len));
}

/* By their linker names: <unistd.h> turns a `pwrite` of ours into pwrite64. */
ssize_t logged_pwrite(int fd, const void *bytes, size_t len, off_t offset) __asm__("pwrite");

ssize_t logged_pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    bool is_noted = is_ours(fd);

    if (is_noted)
        note_write(fd, bytes, len, offset);
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, len, offset);
    if (is_noted && (fcntl(fd, F_GETFL) & O_DSYNC) != 0)
        add(LOG_FLUSH);
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    off_t offset = is_ours(fd) ? lseek(fd, 0, SEEK_CUR) : -1;

    for (int i = 0; offset >= 0 && i < count; i++) {
        note_write(fd, parts[i].iov_base, parts[i].iov_len, offset);
        offset += (off_t)parts[i].iov_len;
    }
    return syscall(SYS_writev, fd, parts, (long)count);
}

int fdatasync(int fd)
{
    int code = (int)syscall(SYS_fdatasync, fd);

    if (is_ours(fd))
        add(LOG_FLUSH);
    return code;
}

void write_log_start(const char *path)
{
    struct stat status;

    record.is_on = stat(path, &status) == 0;
    record.device = status.st_dev;
    record.inode = status.st_ino;
}

void write_log_mark(size_t mark)
{
    add(LOG_MARK)->mark = mark;
}

void write_log_stop(void)
{
    record.is_on = false;
}

size_t write_log_count(void)
{
    return record.count;
}

const struct write_log_entry *write_log_at(size_t index)
{
    return &record.entries[index];
}

void write_log_free(void)
{
    for (size_t i = 0; i < record.count; i++)
        buf_free(&record.entries[i].bytes);
    memory_free(record.entries);
    record.entries = NULL;
    record.count = 0;
}

static void apply(struct buf *image, uint64_t offset, struct str bytes)
{
    uint64_t end = offset + bytes.len;

    if (end > image->len) {
        size_t more = end - image->len;
        memset(buf_reserve(image, more), 0, more);
        buf_commit(image, more);
    }
    memcpy(image->ptr + offset, bytes.ptr, bytes.len);
}

static void apply_torn(struct buf *image, const struct write_log_entry *entry)
{
    size_t cut = 1 + (size_t)rand() % (entry->bytes.len - 1);

    if (rand() % 2 == 0)
        apply(image, entry->offset, str_take(buf_str(&entry->bytes), cut));
    else
        apply(image, entry->offset + cut, str_skip(buf_str(&entry->bytes), cut));
}

/* Each page by itself, in the measure of `percent`. */
static void apply_some(struct buf *image, const struct write_log_entry *entry, int percent)
{
    for (size_t at = 0; at < entry->bytes.len; at += PAGE)
        if (rand() % 100 < percent)
            apply(image, entry->offset + at, str_take(str_skip(buf_str(&entry->bytes), at), PAGE));
}

void write_log_replay(struct buf *image, size_t count, bool is_torn)
{
    static const int percents[] = { 0, 10, 50, 90, 100 };
    int percent = percents[rand() % 5];
    size_t flushed = 0;

    for (size_t i = 0; i < count; i++)
        if (record.entries[i].kind == LOG_FLUSH)
            flushed = i;
    for (size_t i = 0; i < count; i++) {
        const struct write_log_entry *entry = &record.entries[i];
        if (entry->kind != LOG_WRITE)
            continue;
        if (i < flushed)
            apply(image, entry->offset, buf_str(&entry->bytes));
        else if (entry->is_meta && is_torn)
            apply_torn(image, entry);
        else
            apply_some(image, entry, percent);
    }
}
