/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records what is written under a folder, in order: writes, sizes, names, and what was made durable
 * when. The test program defines the calls with which the store and LMDB write (pwrite, write,
 * writev, fdatasync, fsync, rename, link, unlink, mkdir, rmdir) and notes them on their way to the
 * kernel; other changes (open, fallocate, ftruncate) are seen at the next of those calls.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

enum write_log_kind {
    LOG_WRITE,
    LOG_SIZE,        /* the file has another size */
    LOG_NAMES,       /* the folder's names are now these */
    LOG_FLUSH,       /* all that was written to the file is durable */
    LOG_FLUSH_WRITE, /* the write before this one is: it went through a descriptor with O_DSYNC */
    LOG_FLUSH_NAMES, /* all names are */
    LOG_MARK,
};

enum { WRITE_LOG_FOLDER = -1 };

struct write_log_name {
    char path[64]; /* below the folder that is recorded */
    int file;      /* its number, or WRITE_LOG_FOLDER */
};

struct write_log_entry {
    enum write_log_kind kind;
    size_t file; /* the number of the file concerned; a rename does not change it */
    uint64_t offset, size;
    bool is_synchronous; /* LOG_WRITE with O_DSYNC: LMDB's meta pages, within one sector */
    struct buf bytes;
    struct write_log_name *names;
    size_t name_count;
    size_t mark; /* LOG_MARK: the caller's number */
};

/* From now on, all that is below `folder`. The record begins with what is there already, as if it
 * had just been written and made durable; write_log_first is where the rest begins. */
void write_log_start(const char *folder);
size_t write_log_first(void);
void write_log_mark(size_t mark);
void write_log_stop(void);
size_t write_log_count(void);
size_t write_log_file_count(void);
const struct write_log_entry *write_log_at(size_t index);
void write_log_free(void);
