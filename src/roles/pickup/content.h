/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user's text, whose lines end in LF, as mail content: they end in CRLF, and a CR of the text is
 * a blank (sendmail has taken those of line ends out). Portions may be cut anywhere.
 */
#pragma once

#include "base/buf.h"

struct content {
    bool is_in_line; /* the last line has no end yet */
    bool has_8bit;
    uint64_t line_count; /* line ends written */
};

/* { 0 } is the start. Appends the portion. */
void content_add(struct content *content, struct str portion, struct buf *out);
/* Ends the last line where that is missing. */
void content_end(struct content *content, struct buf *out);
