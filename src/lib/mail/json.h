/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for the tools' -j. */
#pragma once

#include "base/buf.h"

/* Appends a string with its quotes; what is no UTF-8 becomes '?', controls are escaped. */
void json_append_string(struct buf *out, struct str text);
