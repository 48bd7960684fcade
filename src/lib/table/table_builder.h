/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes hash:, btree: and lmdb: tables, for postmap and postalias: into a temporary file that is
 * synced and renamed into place by table_builder_finish, so a reader sees the old or the new one.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "table/table.h"

struct table_builder;

struct table_builder_options {
    bool is_incremental;     /* start from what is there (-i) */
    bool may_replace;        /* a key that is there already is replaced (-r) */
    bool keeps_case;         /* keys are not folded to lower case (-f) */
    const char *source_path; /* whose owner and read permissions the table gets; may be NULL */
    bool keeps_mode;         /* not its permissions (-p) */
    bool stays_root;         /* not its owner (-o) */
};

/* What became of one addition. */
enum table_addition { TABLE_ADDED, TABLE_DUPLICATE, TABLE_ADD_FAILED };

struct table_builder *table_builder_new(struct str specification,
                                        const struct table_builder_options *options,
                                        struct error *error);
/* The file it will be. */
const char *table_builder_path(const struct table_builder *builder);
enum table_addition table_builder_add(struct table_builder *builder, struct str key,
                                      struct str value, struct error *error);
/* Whether the key was there. */
bool table_builder_remove(struct table_builder *builder, struct str key);
must_check bool table_builder_finish(struct table_builder *builder, struct error *error);
/* Without finish: nothing changes on disk. */
void table_builder_free(struct table_builder **builder);
