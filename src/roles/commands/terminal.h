/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people: colours where a terminal reads, harmless characters, durations and sizes in few
 * columns. Pure but for terminal_of.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

struct terminal {
    bool is_terminal;
    bool has_colours;
    int columns; /* 0: as long as it takes */
    int rows;
};
/* What `fd` writes to. NO_COLOR and TERM=dumb are respected. */
struct terminal terminal_of(int fd);

enum colour { COLOUR_PLAIN, COLOUR_BOLD, COLOUR_DIM, COLOUR_GOOD, COLOUR_CARE, COLOUR_BAD };
/* Appends the escape sequence; nothing without colours. */
void terminal_colour(const struct terminal *terminal, enum colour colour, struct buf *out);

/* Appends the text without what no terminal should see ('?' for it), cut to `columns` with a dot
 * at the end where it is longer; 0: whole. */
void terminal_text(struct str text, int columns, struct buf *out);
/* The same, filled up with blanks to `columns`. */
void terminal_field(struct str text, int columns, struct buf *out);
/* "45s", "12m", "3h05m", "2d04h"; at most six columns. */
void terminal_duration(int64_t duration_s, struct buf *out);
/* "950", "1.2K", "34M"; at most five columns. */
void terminal_size(uint64_t bytes, struct buf *out);
/* "1 message", "2 messages". */
void terminal_count(uint64_t count, const char *what, struct buf *out);
