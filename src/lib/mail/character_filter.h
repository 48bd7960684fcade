/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message_reject_characters and message_strip_characters: bytes that content may not have, or that
 * are taken out of it before anything else looks at it. Lines are looked at without their ends, so
 * neither CR nor LF of a line end is ever such a byte. Pure.
 */
#pragma once

#include "base/buf.h"
#include "base/byte_set.h"
#include "base/error.h"

struct character_rules {
    struct byte_set rejected, stripped;
};
struct character_rules character_rules_parse(struct str rejected, struct str stripped);
bool character_rules_are_empty(const struct character_rules *rules);

/* One message. { 0 } is its start. */
struct character_filter {
    struct buf line; /* the line at hand, as far as a log shows it; only while bytes are rejected */
};
void character_filter_clear(struct character_filter *filter);

/* Content in any portions, to what is left of it. False: there is a byte that is to be rejected;
 * `filter->line` is the line that has it. */
must_check bool character_filter_add(struct character_filter *filter,
                                     const struct character_rules *rules, struct str bytes,
                                     struct buf *out);
