/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The macros of main.cf values: $name, ${name}, $(name), ${name?text}, ${name:text},
 * ${name?{text}:{text}}, ${{text} == {text} ? {text} : {text}} and $$.
 *
 * Pure: where names come from is the caller's. Self-reference, nesting without end and values
 * that grow without bound are errors.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* What a name stands for. */
struct expand_value {
    struct str text;
    const char *place; /* "main.cf, line 3", for errors; may be NULL */
};

struct expand_source {
    /* False when nobody defines the name. */
    bool (*find)(void *argument, struct str name, struct expand_value *value);
    /* Called for each name nobody defines, unless it is only asked whether it is set; may be
     * NULL. */
    void (*undefined)(void *argument, struct str name);
    void *argument;
};

/* Appends the expansion of `text` to `out`. `name` is the parameter whose value it is, for the
 * detection of self-reference; the empty string when it is none. */
must_check bool expand(const struct expand_source *source, struct str name, struct str text,
                       struct buf *out, struct error *error);

/* Compares as `${{a} op {b} …}` does, `op` being ==, !=, <, <=, >= or >: as numbers where both are
 * decimal, otherwise byte by byte. False when there is no such operator. */
must_check bool expand_compare(struct str left, struct str operation, struct str right,
                               bool *is_true);
