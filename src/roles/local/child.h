/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child for one step of one delivery: it becomes the user, irreversibly, and then writes a file,
 * reads one, or is replaced by a program. The role itself touches nothing that belongs to users.
 * Fibers wait here; the loop goes on.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "loop/fiber.h"

#include <sys/types.h>

/* Whom a child becomes; never 0, neither user nor group. */
struct rights {
    uid_t uid;
    gid_t gid;
};

struct child_work {
    struct rights rights;
    const char *root; /* chroot= goes before everything else; NULL: none */
    /* Before the rights go: to open what only root reaches. False ends the child with exit status
     * CHILD_REFUSED. NULL: nothing to do. */
    bool (*as_root)(void *argument);
    /* As the user. `result_fd` leads to child_result.output; what the function returns is the exit
     * status. It may also exec. */
    int (*run)(void *argument, int result_fd);
    void *argument;
    int64_t limit_ms;         /* then its whole process group is killed */
    size_t output_bytes;      /* more is read and dropped */
    int64_t size_limit_bytes; /* the largest file it may write; 0: no limit */
};

enum child_end {
    CHILD_EXITED,
    CHILD_SIGNALLED,
    CHILD_TIMED_OUT,
    CHILD_NOT_STARTED, /* `error` says why */
    CHILD_CANCELLED,   /* the fiber was; the child is gone */
};
enum { CHILD_REFUSED = 120, CHILD_RIGHTS_FAILED = 121, CHILD_ROOT_FAILED = 122 };

struct child_result {
    int status; /* exit status, or the signal's number */
    struct buf output;
    struct error error;
};

/* Only in a fiber. The caller frees the output. */
enum child_end child_run(struct loop *loop, const struct child_work *work,
                         struct child_result *result);
