/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration file as the logical lines it consists of, for edits that leave everything else
 * as it is: comments, blank lines and the order.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

struct file_line {
    struct str physical; /* with its line end */
    int logical;         /* which logical line it belongs to; -1 = comment or empty line */
};

struct file_lines {
    struct file_line *items;
    size_t count;
    int logical_count;
};

/* Reads and cuts up the file; the memory is in the arena. */
must_check bool file_lines_read(struct arena *arena, const char *path, struct file_lines *lines,
                                struct error *error);
/* The text of a logical line, joined, without line ends. */
void file_lines_join(const struct file_lines *lines, int logical, struct buf *text);
/* Replaces the file at once and durably; owner and mode stay. A symbolic link stays one. */
must_check bool file_lines_write(const char *path, struct str text, struct error *error);
