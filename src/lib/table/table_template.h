/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The "%s" templates of tables that ask a data base: query and result_format. In a query the parts
 * of the key are never spliced into the text: it becomes SQL with numbered parameters, and what is
 * to be bound to each. Pure. Private to this folder and to tests.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/* What a '%' stands for. */
enum template_part {
    PART_WHOLE,  /* %s */
    PART_LOCAL,  /* %u */
    PART_DOMAIN, /* %d */
    PART_LABEL,  /* %1 is the top-level domain of the key, and so on */
};

struct template_reference {
    enum template_part part;
    int label;      /* PART_LABEL */
    bool is_of_key; /* in result_format: %S %U %D and the labels; in a query all are */
};

enum { TEMPLATE_REFERENCES_MAX = 30 };

struct query_template {
    const char *sql; /* "... = ?1" */
    size_t count;
    struct template_reference references[TEMPLATE_REFERENCES_MAX]; /* of ?1, ?2, ... */
    bool has_double_quotes; /* around a reference: it was taken for a string */
};

must_check bool query_template_parse(struct arena *arena, struct str text,
                                     struct query_template *query, struct error *error);
/* The text that a reference stands for; false where the key has none: then there is nothing to
 * ask for. */
bool template_resolve(const struct template_reference *reference, struct str text,
                      struct str *value);

/* False for an unknown '%'. */
must_check bool result_template_check(struct str text, struct error *error);
/* Whether the key has all that the template wants of it. */
bool result_template_fits(struct str text, struct str key);
/* Appends the template for one value, after a comma where `out` is not empty; false where the
 * value lacks a part, and then nothing is appended. */
bool result_template_expand(struct str text, struct str key, struct str value, struct buf *out);
