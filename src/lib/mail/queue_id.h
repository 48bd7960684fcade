/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue ids: 48-bit numbers, unique for ever. The upper 41 bits are milliseconds since 2020-01-01
 * UTC, the lower 7 a count within the millisecond; the queue role hands them out from a high-water
 * mark that it commits before use, so a clock that steps back never repeats one.
 *
 * Two texts for the same number: short, 12 upper-case hexadecimal digits; and with
 * enable_long_queue_ids Postfix's long form (52-letter alphabet: 6 letters of seconds, 4 of
 * microseconds, 'z', and here a constant tail), so that Postfix's log parsers match both.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

enum { QUEUE_ID_COUNT_BITS = 7, QUEUE_ID_TEXT_MAX = 20 };

uint64_t queue_id_from_wall_ms(int64_t wall_ms); /* the first id of that millisecond */
int64_t queue_id_wall_ms(uint64_t queue_id);
/* NUL-terminated text. */
struct queue_id_text {
    char text[QUEUE_ID_TEXT_MAX + 1];
};
struct queue_id_text queue_id_format(uint64_t queue_id, bool is_long);
/* Accepts both forms, exactly; nothing else. */
bool queue_id_parse(struct str text, uint64_t *queue_id);
