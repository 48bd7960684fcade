/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message on its way into the maildrop: a draft that nobody else looks at, and when it is whole
 * and on disk a file under its final name. Lives in the process that writes it; what is not
 * finished is removed by drop_remove, which a signal handler may call too.
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

enum { DROP_NAME_BYTES = 64 };

struct drop {
    int folder_fd; /* the maildrop, O_PATH: its group may write there, not list it */
    int fd;        /* the draft; -1 = none */
    char draft[DROP_NAME_BYTES + 1];
    char final[DROP_NAME_BYTES];
    uint64_t size_limit_bytes; /* of the content; 0 = none */
};

enum drop_outcome {
    DROP_OK,
    DROP_FORBIDDEN, /* authorized_submit_users leaves the caller out */
    DROP_REFUSED,   /* the input is at fault: it would fail again */
    DROP_TRY_AGAIN, /* the system is: disk full, input cut off, … */
};

/* Opens the folder and creates the draft. */
enum drop_outcome drop_open(struct drop *drop, const char *folder, uint64_t size_limit_bytes,
                            struct error *error);
/* Reads the frames (mail/maildrop.h) from `fd` into the draft up to the end of the stream. */
enum drop_outcome drop_receive(struct drop *drop, int fd, struct error *error);
/* Makes it durable under its final name. To be called with signals blocked: when it has returned
 * DROP_OK the message is in the queue, in any other case it is not. */
enum drop_outcome drop_finish(struct drop *drop, struct error *error);
/* Async-signal-safe; nothing happens where there is no draft. */
void drop_remove(const struct drop *drop);
