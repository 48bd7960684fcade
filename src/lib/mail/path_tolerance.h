/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses in MAIL and RCPT as RFC 822 had them and as poor software still writes them: comments,
 * blanks around '@' and '.', brackets inside brackets or only at the end. Pure; linear.
 */
#pragma once

#include "base/arena.h"

/* What is left of `text` (an address with or without brackets, quotes closed) when all that is
 * gone: in the grammar of RFC 5321, without brackets; in the arena. False where no address is left,
 * two words stand side by side, something follows the bracket, or there is a comment and
 * `has_comments` is false. */
bool path_simplify(struct arena *arena, struct str text, bool has_comments, struct str *plain);
