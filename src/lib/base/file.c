/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 65536 };

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int fd_take(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

static bool read_to_end(int fd, const char *path, struct buf *contents, struct error *error)
{
    for (;;) {
        char *room = buf_reserve(contents, READ_BYTES);
        if (room == NULL)
            return error_set(error, "%s is larger than its limit of %zu bytes", path,
                             contents->limit - READ_BYTES);
        ssize_t count = read(fd, room, READ_BYTES);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_errno(error, "read %s", path);
        if (count == 0)
            return true;
        buf_commit(contents, (size_t)count);
    }
}

bool file_read(const char *path, size_t limit_bytes, struct buf *contents, struct error *error)
{
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;

    if (fd < 0)
        return error_errno(error, "open %s", path);
    if (fstat(fd, &status) < 0)
        return error_errno(error, "stat %s", path);
    if (!S_ISREG(status.st_mode))
        return error_set(error, "%s is not a regular file", path);
    /* READ_BYTES of slack: the reader asks for a full portion before it knows the end. */
    contents->limit = contents->len + limit_bytes + READ_BYTES;
    return read_to_end(fd, path, contents, error);
}

bool fd_write_all(int fd, struct str bytes, const char *what, struct error *error)
{
    while (bytes.len > 0) {
        ssize_t count = write(fd, bytes.ptr, bytes.len);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_errno(error, "write %s", what);
        bytes = str_skip(bytes, (size_t)count);
    }
    return true;
}

bool fd_sync(int fd, const char *what, struct error *error)
{
    if (fsync(fd) < 0)
        return error_errno(error, "fsync %s", what);
    return true;
}

bool rename_durably(const char *from, const char *to, struct error *error)
{
    char folder_path[PATH_MAX];

    if (rename(from, to) < 0)
        return error_errno(error, "rename %s to %s", from, to);
    snprintf(folder_path, sizeof folder_path, "%s", to);
    const char *folder = dirname(folder_path);
    autoclose int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(error, "open %s", folder);
    return fd_sync(fd, folder, error);
}

bool fd_set_nonblocking(int fd, struct error *error)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && (flags & O_NONBLOCK))
        return true;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return error_errno(error, "make a descriptor non-blocking");
    return true;
}

int lock_file(const char *path, struct error *error)
{
    autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        error_errno(error, "open %s", path);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        error_errno(error, "lock %s", path);
        return -1;
    }
    return fd_take(&fd);
}
