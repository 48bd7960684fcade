/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The macros of values that stand for parts of a delivery: $name, ${name}, $(name), ${name?text},
 * ${name:text}, ${name?{text}:{text}} and $$, as in forward_path or luser_relay. What a name
 * stands for is never expanded again. Bytes of it that are not in the filter become '_', and so
 * does a '-' that it begins with.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

struct macro_value {
    const char *name;
    struct str text; /* empty: counts as not set */
};

struct macros {
    const struct macro_value *values; /* ended by a NULL name */
    struct str filter;                /* the bytes that may stay; empty: all */
};

struct macro_use {
    bool has_undefined; /* a name without a value was used (not just asked for) */
    bool has_extension; /* $extension was, and has a value */
};

/* Appends; `use` (may be NULL) tells what was met. False where the text is malformed. */
must_check bool macro_expand(const struct macros *macros, struct str text, struct buf *out,
                             struct macro_use *use, struct error *error);
/* Appends the value as it may be handed to a program. */
void macro_filter(struct str value, struct str filter, struct buf *out);
