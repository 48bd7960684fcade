/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 3461 xtext, as in ENVID=, ORCPT=, AUTH=. */
#pragma once

#include "base/buf.h"

/* Everything outside '!'…'~', and '+' and '=', becomes +XX. */
void xtext_encode(struct str text, struct buf *out);
/* False (nothing useful in `out`) where it is no xtext, or where a coded byte is a control
 * character (so also +00, +0A, +0D). */
bool xtext_decode(struct str xtext, struct buf *out);
