/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 3461 xtext, as in ENVID=, ORCPT=, AUTH=; and RFC 6533 unitext, in ORCPT=utf-8;. */
#pragma once

#include "base/buf.h"

/* Everything outside '!'…'~', and '+' and '=', becomes +XX. */
void xtext_encode(struct str text, struct buf *out);
/* False (nothing useful in `out`) where it is no xtext, or where a coded byte is a control
 * character (so also +00, +0A, +0D). A '=' that should have been coded passes, as in Postfix. */
bool xtext_decode(struct str xtext, struct buf *out);
/* As it should have come: what may not stand in it is coded. What is no xtext is coded whole. */
void xtext_normalise(struct str xtext, struct buf *out);
/* What may not stand in it as it is becomes \x{HEX}; UTF-8 stays. */
void unitext_encode(struct str text, struct buf *out);
/* RFC 6533 3: \x{HEX} becomes the character, which must be one that may stand in text; UTF-8 passes
 * as it is. Leading zeros are not needed but suffered. False as above. */
bool unitext_decode(struct str unitext, struct buf *out);
