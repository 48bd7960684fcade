/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the maildrop: a folder that users may write files into, so nothing there is what it
 * seems until it has been checked. For the pickup role and for mailq.
 */
#pragma once

#include "mail/maildrop.h"

#include <sys/types.h>

struct maildrop_file {
    int fd;    /* -1: not open */
    uid_t uid; /* who submitted it: the file's owner */
    int64_t modified_s;
    struct maildrop_header header;
    struct maildrop_envelope envelope; /* in the arena that was given to maildrop_file_open */
    uint64_t offset;                   /* private: content read so far */
    uint32_t crc;                      /* private: of it */
};

enum maildrop_file_outcome {
    MAILDROP_FILE_OK,
    MAILDROP_FILE_GONE,   /* somebody else took it */
    MAILDROP_FILE_BAD,    /* it is no complete, undamaged message: it never will be one */
    MAILDROP_FILE_FAILED, /* the system: try again */
};

/* Whether a folder entry is a message: letters and digits only, so no draft and no path. */
bool maildrop_name_is_valid(struct str name);
/* Never follows a link, never blocks on a fifo. */
enum maildrop_file_outcome maildrop_file_open(struct arena *arena, int folder_fd, const char *name,
                                              struct maildrop_file *file, struct error *error);
/* The next portion of the content, at most `room` bytes at `bytes`; *count is 0 at its end, which
 * is only reported (as OK) when the checksum fits. */
enum maildrop_file_outcome maildrop_file_read(struct maildrop_file *file, char *bytes, size_t room,
                                              size_t *count, struct error *error);
void maildrop_file_close(struct maildrop_file *file);
