/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is in memory only, for what is opened by its name. */
#pragma once

#include "base/ensure.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* Its descriptor; `path` gets a name for it. */
static inline int memory_file_open(const void *data, size_t size, char *path, size_t path_size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    ensure(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    if (path != NULL)
        snprintf(path, path_size, "/proc/self/fd/%d", fd);
    return fd;
}
