/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user's text as mail content: every line ends in CRLF, whatever it ended in, and there is no
 * other CR or LF. Portions may be cut anywhere.
 */
#pragma once

#include "base/buf.h"

struct content {
    bool has_pending_cr; /* private: a CR at the end of the last portion */
    bool is_in_line;     /* the last line has no end yet */
    bool has_8bit;
    uint64_t line_count; /* line ends written */
};

/* { 0 } is the start. Appends the portion. */
void content_add(struct content *content, struct str portion, struct buf *out);
/* Ends the last line where that is missing. */
void content_end(struct content *content, struct buf *out);
