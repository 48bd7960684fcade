/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and descriptors: reading a whole one with a bound, writing durably, and closing by scope.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <sys/types.h>

/* `autoclose int fd = open(…);` closes at the end of the scope; fd_take hands it over. */
#define autoclose __attribute__((cleanup(fd_close)))
void fd_close(int *fd);
/* Returns *fd and leaves -1, so that an autoclose scope no longer closes it. */
int fd_take(int *fd);

/* Appends the whole file; fails where it is larger than `limit_bytes` or not a regular file. */
must_check bool file_read(const char *path, size_t limit_bytes, struct buf *contents,
                          struct error *error);
/* Writes everything, or fails (EINTR and short writes are handled). `what` names it in errors. */
must_check bool fd_write_all(int fd, struct str bytes, const char *what, struct error *error);
must_check bool fd_sync(int fd, const char *what, struct error *error);
/* rename(2), then fsync of the folder that holds `to`. */
must_check bool rename_durably(const char *from, const char *to, struct error *error);
must_check bool fd_set_nonblocking(int fd, struct error *error);

/* An exclusive flock on `path` (created 0600 where missing); at once or not at all. Returns the
 * descriptor that holds it, or -1 with `error` filled and system_errno EWOULDBLOCK when somebody
 * else holds it. */
int lock_file(const char *path, struct error *error);
