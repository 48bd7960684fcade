/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the text of a value to what it means: yes and no, numbers, sizes and times.
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

/* "yes" or "no", in any case. */
must_check bool value_to_bool(struct str text, bool *value, struct error *error);
/* Decimal, from `least` to `most`. */
must_check bool value_to_number(struct str text, int64_t least, int64_t most, int64_t *value,
                                struct error *error);
/* A number with or without one of the units s, m, h, d, w behind it; `unit` where there is none.
 * The value is in seconds. */
must_check bool value_to_seconds(struct str text, char unit, int64_t *value, struct error *error);

/* Where `text` is one word and a blank, a '#' and more follow: the word. Otherwise `text`. main.cf
 * has no comments behind values, but people write them. */
struct str value_without_comment(struct str text);
