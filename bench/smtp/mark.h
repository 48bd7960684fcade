/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a message of the generator is known again at the sink: its id stands in a header, with the
 * moment from which its latency counts, and in its last line, so that a message that was cut or
 * mixed up does not pass. A copy, a message for one recipient, is a number of 64 bits; the
 * generator writes those that were accepted to a file, one in a line.
 */
#pragma once

#include "base/str.h"

#define MARK_HEADER    "X-Bench-Mark: "
#define MARK_LAST_LINE "end of "
#define MARK_DOMAIN    "bench.example"

enum {
    MARK_ID_LEN = 13,   /* rrrr.nnnnnnnn in hexadecimal digits: run and number */
    MARK_TIME_LEN = 16, /* monotonic microseconds, hexadecimal; this machine's, since its start */
    MARK_LINE_LEN = sizeof MARK_HEADER - 1 + MARK_ID_LEN + 1 + MARK_TIME_LEN + 2,
    MARK_END_LEN = sizeof MARK_LAST_LINE - 1 + MARK_ID_LEN + 2,
    MARK_COPY_LEN = 17, /* a copy's line in a file */
    MARK_RECIPIENTS_MAX = 65536,
};

struct mark {
    uint16_t run; /* never 0 */
    uint32_t number;
    int64_t due_us;
};

/* Write exactly MARK_ID_LEN, MARK_TIME_LEN and MARK_COPY_LEN bytes, without a NUL. */
void mark_format_id(const struct mark *mark, char *out);
void mark_format_time(const struct mark *mark, char *out);
void mark_format_copy(uint64_t copy, char *out);

/* Finds the header in a part of a message; false when it does not stand there whole. */
bool mark_find(struct str part, struct mark *mark);
/* Whether a message that ends so (without the dot) is the whole one. */
bool mark_ends(struct str end, const struct mark *mark);
bool mark_parse_copy(struct str line, uint64_t *copy);

/* Recipient `ordinal` of a message; RCPT's argument names it as u<ordinal>@. */
uint64_t mark_copy(const struct mark *mark, uint32_t ordinal);
