/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A .forward or :include: file, read and taken apart by a child with the rights of its reader. The
 * role sees its entries, bounded in number and size, and nothing else of it.
 */
#pragma once

#include "base/arena.h"
#include "user.h"

enum { USER_FILE_BYTES_MAX = 64 * 1024, USER_FILE_ENTRIES_MAX = 1000 };

enum user_file_outcome {
    USER_FILE_FOUND,
    USER_FILE_ABSENT,
    USER_FILE_UNSAFE, /* not to be believed, or not readable: `reason` says why */
    USER_FILE_FAILED, /* not now */
};

struct user_file {
    const char *path;
    struct rights reader;
    uid_t owner;            /* whose it may be, beside root's; for a .forward */
    bool is_any_owner;      /* :include: */
    bool is_opened_by_root; /* root's own .forward; `reader` takes it apart */
    gid_t own_group;        /* a group that is the user's alone, and may write; 0: none */
    /* Filled by user_file_read: */
    struct str *entries;
    size_t entry_count;
    uid_t found_owner;
    const char *reason;
};

/* Only in a fiber. */
enum user_file_outcome user_file_read(struct loop *loop, struct arena *arena,
                                      struct user_file *file);
