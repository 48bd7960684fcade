/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail with 8-bit parts for a server that takes none (RFC 6152): each body that is declared as 8bit
 * or binary becomes quoted-printable, with its header. What is not declared so stays as it is, as
 * in Postfix. Pure, linear, never recursive.
 */
#pragma once

#include "base/buf.h"

/* Whether there is a byte above 127 at all. */
bool downgrade_is_needed(struct str content);
/* Appends the whole message with CRLF line ends. */
void downgrade_content(struct str content, struct buf *out);
