/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-up tables, "type:name" in configuration: hash, btree, lmdb (LMDB files that postmap builds)
 * and cdb; texthash, inline, static, cidr, regexp, pcre; unionmap, pipemap, randmap; unix, environ,
 * internal, fail; sqlite; tcp and socketmap, which suspend the fiber that asks; and "proxy:" before
 * any of them. A table belongs to the role that opened it.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "config/config.h"
#include "net/stream.h"

struct table;

/* What tables need of the process that they are opened in. It is set once, before the first table
 * is opened, and global: tables are opened in many places that would have to pass it on. Left
 * zero, tcp and socketmap do not open, and "proxy:" is not checked. */
struct table_surroundings {
    struct loop *loop;
    /* Names a server, "inet:host:port" or "unix:path"; NULL with `error`. */
    void *(*server_name)(void *argument, struct str server, struct error *error);
    enum stream_outcome (*server_connect)(void *server, int64_t deadline_ms, struct stream **stream,
                                          struct error *error);
    void *argument;
    const struct config *config; /* for tables whose settings are in main.cf; may be NULL */
    bool checks_proxies;
    struct str proxy_read_maps;
};
void table_set_surroundings(const struct table_surroundings *surroundings);
const struct table_surroundings *table_surroundings(void);

enum lookup_outcome {
    LOOKUP_FOUND,
    LOOKUP_ABSENT,
    LOOKUP_FAILED, /* the table cannot answer: that is not "no", answer 451 */
};

/* "hash:/etc/postfix/transport", "inline:{ a=b }". NULL with `error`: an unknown type (by name),
 * a missing file, … A caller that must go on opens table_new_failing instead. `warning` may be
 * NULL; it hears of entries that were skipped. */
struct table_options {
    bool warns_of_age; /* hear of a file that is older than the text it was made from */
    void (*warning)(void *argument, const char *text);
    void *argument;
    /* Rules of patterns that put a part of the key into the value are left out, with a warning:
     * where what a value says is run, or is a place to write to. */
    bool forbids_substitution;
    bool keeps_case; /* keys are looked up as given (postmap -f) */
    bool
        warns_of_failures; /* of a table_list: hear of each look-up that fails, as Postfix has it */
    /* Values are lists of files, which are read when the table is opened: look-ups find their
     * content in base64, as tables made by postmap -F have it. Patterns and servers cannot. */
    bool values_are_files;
};
struct table *table_open(struct str specification, const struct table_options *options,
                         struct error *error);
/* A table whose every look-up fails with the text: stands in for one that did not open. */
struct table *table_new_failing(struct str specification, const struct error *error);
void table_close(struct table **table);

/* The value lives in the arena. Keys are folded to lower case by the types that Postfix folds for.
 * LOOKUP_FAILED fills `error`. */
enum lookup_outcome table_find(struct table *table, struct str key, struct arena *arena,
                               struct str *value, struct error *error);
/* Walks through a table (postmap -s): the entry behind `*key`, or with an empty key the first.
 * LOOKUP_FAILED for types that cannot be walked. */
enum lookup_outcome table_next(struct table *table, struct arena *arena, struct str *key,
                               struct str *value, struct error *error);
/* Whether it is asked about parts of an address ("example.com", "@example.com") and of networks:
 * patterns and servers see the whole alone. */
bool table_takes_parts(const struct table *table);
/* Whether the source changed since table_open (the file was replaced): reopen then. */
bool table_is_stale(const struct table *table);
/* Whether "proxy:" and the specification are among the tables of a list such as proxy_read_maps. */
bool table_is_proxied(struct str list, struct str specification);
struct str table_specification(const struct table *table);
/* Whether `text` looks like "type:…" (letters, digits, '_' before a colon). */
bool table_is_specification(struct str text);
