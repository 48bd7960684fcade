/* SPDX-License-Identifier: Apache-2.0 */
/* postmap -F: values that are the content of files, in base64. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* Appends what the files that `names` lists (separated by blanks or commas) contain, with a newline
 * between them, in base64. */
must_check bool table_value_read(struct str names, struct buf *value, struct error *error);
/* Appends what such a value stands for. */
must_check bool table_value_decode(struct str value, struct buf *content, struct error *error);
