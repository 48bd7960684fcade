/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of an address that have a mark at each end, as RFC 5322 has them: "quoted", [literal],
 * (comment (with another inside)). A backslash takes the next byte along. Pure.
 */
#pragma once

#include "base/str.h"

/* From the opening mark, which `text` begins with, to `close`, both with them; 0 where it stays
 * open. */
size_t enclosed_length(struct str text, char close);
/* Of a comment; comments nest. */
size_t enclosed_comment_length(struct str text);
