/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server's reply, put together from its lines. Belongs to the client's conversation; the memory
 * is bounded whatever the server sends. What it keeps is neutralised (no control characters).
 */
#pragma once

#include "base/buf.h"

enum { REPLY_LINE_BYTES_MAX = 512, REPLY_LINES_MAX = 100 };

struct reply {
    int code;          /* 200 … 599 */
    char enhanced[12]; /* "5.1.1", NUL-terminated; of the last line, and only where its class
                          fits the code; else empty */
    struct buf text;   /* all lines as they came, joined by '\n': "250-a\n250 b" */
    int line_count;
    bool is_truncated; /* lines were cut at REPLY_LINE_BYTES_MAX */
};

enum reply_progress {
    REPLY_MORE, /* another line follows */
    REPLY_COMPLETE,
    REPLY_MALFORMED, /* no code, codes that differ, too many lines, …: a protocol error; `text`
                        holds what came so far */
};

/* { 0 } is ready for use; clear before each reply; free at the end. */
void reply_clear(struct reply *reply);
void reply_free(struct reply *reply);
/* Adds one line, without its line end. */
enum reply_progress reply_add_line(struct reply *reply, struct str line);

/* The text behind the code in line `index` ("PIPELINING"); false beyond the last one. For EHLO. */
bool reply_line(const struct reply *reply, int index, struct str *text);
/* The enhanced status to go with it: the server's, or "4.0.0", "5.0.0", "2.0.0". */
struct str reply_status(const struct reply *reply);
/* On one line, as Postfix logs it ("550 5.1.1 unknown"): '\n' becomes a blank. Appends. */
void reply_format(const struct reply *reply, struct buf *out);
