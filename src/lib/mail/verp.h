/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variable envelope return paths (VERP_README): the sender address of a mailing gets the recipient
 * into its local part, so that a bounce says for whom it is.
 */
#pragma once

#include "base/arena.h"

/* Whether `delimiters` are two characters of `filter` (verp_delimiter_filter). */
bool verp_delimiters_are_valid(struct str delimiters, struct str filter);
/* "list@example.com" for "joe@there.example", with "+=": "list+joe=there.example@example.com". The
 * null sender, or a sender without a domain, gets what can be had of it. */
struct str verp_address(struct arena *arena, struct str delimiters, struct str sender,
                        struct str recipient);
