/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The interposed functions have no argument to carry this. */
static struct {
    _Atomic int kind, left, is_for_ever, hits;
} faults;

void faults_arm(enum fault_kind kind, int at, int is_for_ever)
{
    faults.hits = 0;
    faults.left = at;
    faults.is_for_ever = is_for_ever;
    faults.kind = (int)kind;
}

void faults_clear(void)
{
    faults.kind = FAULT_NONE;
}

int faults_hit_count(void)
{
    return faults.hits;
}

static int is_due(int is_sync)
{
    int kind = faults.kind;

    if (kind == FAULT_NONE || (kind == FAULT_SYNC_EIO) != is_sync)
        return 0;
    int left = --faults.left;
    if (left > 0 || (left < 0 && !faults.is_for_ever))
        return 0;
    faults.hits++;
    return 1;
}

/* What a failing write returns; `len` shrinks where it is to be short. */
static int is_refused(size_t *len)
{
    if (!is_due(0))
        return 0;
    if (faults.kind == FAULT_WRITE_SHORT) {
        *len /= 2;
        return 0;
    }
    errno = faults.kind == FAULT_WRITE_ENOSPC ? ENOSPC : EIO;
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    return is_refused(&len) ? -1 : syscall(SYS_write, fd, bytes, len);
}

/* By its linker name: <unistd.h> turns a `pwrite` of ours into pwrite64, which LMDB does not call.
 */
ssize_t faulty_pwrite(int fd, const void *bytes, size_t len, off_t offset) __asm__("pwrite");

ssize_t faulty_pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    return is_refused(&len) ? -1 : syscall(SYS_pwrite64, fd, bytes, len, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    size_t left = (size_t)count;

    return is_refused(&left) ? -1 : syscall(SYS_writev, fd, parts, left);
}

int fdatasync(int fd)
{
    if (is_due(1)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
