/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records what the store writes to its data file and when it flushes (pwrite, writev and fdatasync
 * are defined by the test program), and builds from the record the files that a power loss could
 * have left: everything before the last flush, and any part of what came after it.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

enum write_log_kind { LOG_WRITE, LOG_FLUSH, LOG_MARK };

struct write_log_entry {
    enum write_log_kind kind;
    bool is_meta;    /* LOG_WRITE through a descriptor that flushes each write: one sector */
    uint64_t offset; /* LOG_WRITE */
    struct buf bytes;
    size_t mark; /* LOG_MARK: the caller's number */
};

/* From now on, for the file at `path`. */
void write_log_start(const char *path);
void write_log_mark(size_t mark);
void write_log_stop(void);
size_t write_log_count(void);
const struct write_log_entry *write_log_at(size_t index);
void write_log_free(void);

/* Changes `image` from the state before the record to one that a power loss after `count` entries
 * could have left. With `is_torn` a meta write that was under way is cut within its sector. */
void write_log_replay(struct buf *image, size_t count, bool is_torn);
