/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629 defines it. */
#pragma once

#include "base/str.h"

/* Takes one character off `*text` and returns its code point, or -1 (and takes one byte) where it
 * is malformed: overlong, a surrogate, beyond U+10FFFF, cut short. `*text` is not empty. */
int32_t utf8_next(struct str *text);
bool utf8_is_valid(struct str text);
/* Well-formed, and free of control characters (C0 beside TAB, DEL, C1), U+2028/2029 and
 * bidirectional controls. */
bool utf8_is_clean(struct str text);
/* Whether a terminal or a log may show the character. */
bool utf8_is_harmless(int32_t character);
