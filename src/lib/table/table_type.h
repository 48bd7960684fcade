/* SPDX-License-Identifier: Apache-2.0 */
/* How a type of table plugs in. Included by table.c and the types only. */
#pragma once

#include "base/buf.h"
#include "table/table.h"

#include <sys/stat.h>

struct table {
    const struct table_type *type;
    struct str specification; /* "hash:/etc/postfix/transport" */
    const char *name;         /* "/etc/postfix/transport" */
    struct table_options options;
    struct arena arena;      /* lives as long as the table */
    const char *source_path; /* a text that was read when the table was opened; or NULL */
    struct stat source;
    void *state; /* of the type */
};

struct table_type {
    const char *name;
    /* Fills table->state; what it left there on failure is closed like any other. */
    bool (*open)(struct table *table, struct error *error);
    /* `key` is not folded. */
    enum lookup_outcome (*find)(struct table *table, struct str key, struct arena *arena,
                                struct str *value, struct error *error);
    void (*close)(struct table *table);             /* NULL: the arena is all */
    bool (*is_stale)(const struct table *table);    /* NULL: when its source_path changed */
    bool is_pattern;                                /* asked about whole keys alone */
    bool (*takes_parts)(const struct table *table); /* instead of is_pattern; NULL: that decides */
    /* The entry behind `*key` (empty: the first one); both live in the arena. NULL: the type
     * cannot be walked. */
    enum lookup_outcome (*next)(struct table *table, struct arena *arena, struct str *key,
                                struct str *value, struct error *error);
};

extern const struct table_type table_type_inline;
extern const struct table_type table_type_static;
extern const struct table_type table_type_texthash;
extern const struct table_type table_type_cidr;
extern const struct table_type table_type_regexp;
extern const struct table_type table_type_pcre;
extern const struct table_type table_type_unionmap;
extern const struct table_type table_type_pipemap;
extern const struct table_type table_type_randmap;
extern const struct table_type table_type_environ;
extern const struct table_type table_type_unix;
extern const struct table_type table_type_nis;
extern const struct table_type table_type_cdb;
extern const struct table_type table_type_sqlite;
extern const struct table_type table_type_tcp;
extern const struct table_type table_type_socketmap;
extern const struct table_type table_type_internal;
extern const struct table_type table_type_hash;
extern const struct table_type table_type_btree;
extern const struct table_type table_type_lmdb;

/* Makes `table` one of the type texthash, from the file at `path` (which outlives it). */
must_check bool table_load_source(struct table *table, const char *path, struct error *error);
/* Reads the file that a table is made of, and remembers how it looked. */
must_check bool table_read_text(struct table *table, const char *path, size_t limit_bytes,
                                struct buf *text, struct error *error);
/* Warns where `path` is older than the text that it is made from, which has the table's name. */
void table_warn_of_age(const struct table *table, const char *path);
/* The text of a table of rules: of its file, or the lines in its name, "{ { rule }, ... }". */
must_check bool table_read_rules(struct table *table, size_t limit_bytes, struct buf *text,
                                 struct error *error);
/* The key in lower case (ASCII), for the types that fold. */
struct str table_fold(struct arena *arena, struct str key);
__attribute__((format(printf, 2, 3))) void table_warn(const struct table *table, const char *format,
                                                      ...);
