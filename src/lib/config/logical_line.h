/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logical lines, as main.cf and master.cf have them: a physical line that begins with white space
 * goes on with the line before it; empty lines and lines whose first visible byte is '#' do not
 * count, wherever they stand.
 */
#pragma once

#include "base/buf.h"

struct logical_line_reader {
    struct str rest;
    int line; /* of the next physical line */
};

/* A byte order mark at the start is skipped. */
void logical_line_start(struct logical_line_reader *reader, struct str text);
/* The next logical line, without its line ends, in `text` (replaced), and the number of its first
 * physical line; false at the end. */
bool logical_line_next(struct logical_line_reader *reader, struct buf *text, int *line);
