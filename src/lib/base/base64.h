/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648 section 4), as in AUTH. */
#pragma once

#include "base/buf.h"

/* Appends, with padding, on one line. */
void base64_encode(struct str bytes, struct buf *out);
/* Appends. False (and what was decoded until then) where the text is not whole groups of the
 * alphabet with padding only at the end. */
bool base64_decode(struct str text, struct buf *out);
