/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pcre: and regexp: tables have in common: "/pattern/flags text" rules, tried in order, with
 * "!/pattern/flags text", and "if [!]/pattern/flags" ... "endif" around rules. $1, ${1} and $(1)
 * stand for what a group matched, $$ for a dollar. A rule that is wrong is left out with a warning,
 * as in Postfix. The two types differ in the engine that compiles and matches.
 */
#pragma once

#include "table/table_type.h"

enum { PATTERN_GROUPS_MAX = 100 };

/* A compiled pattern. What it matched is in groups[0], its parentheses in groups[1] and up; a group
 * that took no part has ptr NULL. */
struct pattern {
    void *compiled;
    unsigned group_count;
    bool has_obsolete_flag; /* "X", which says nothing any more */
    /* A byte that every key that matches has, in either case; 0: none is known. */
    unsigned char needed, needed_too;
};

/* One look-up. */
struct pattern_subject {
    struct str key; /* with a NUL behind its end */
    bool has_byte[256]; /* in the key */
    struct str groups[PATTERN_GROUPS_MAX];
    unsigned rules_tried;
    int64_t deadline_ms, cpu_deadline_us; /* 0 before the first look at the clock */
};
/* Whether the look-up has used up its time: it may not hold up the conversations of a role. */
bool pattern_time_is_up(struct pattern_subject *subject);

enum pattern_outcome {
    PATTERN_MATCHES,
    PATTERN_DIFFERS,
    PATTERN_GAVE_UP, /* a limit, or memory: nobody knows */
};

struct pattern_engine {
    const char *name; /* of the type of tables */
    /* Memory that all patterns of a table share while they match; NULL where there is none. */
    void *(*workspace_new)(void);
    void (*workspace_free)(void *workspace);
    must_check bool (*compile)(void *workspace, struct pattern *pattern, struct str text,
                               struct str flags, struct error *error);
    enum pattern_outcome (*match)(void *workspace, const struct pattern *pattern,
                                  struct pattern_subject *subject, struct error *error);
    void (*pattern_free)(struct pattern *pattern);
};

must_check bool pattern_table_open(struct table *table, const struct pattern_engine *engine,
                                   struct error *error);
enum lookup_outcome pattern_table_find(struct table *table, struct str key, struct arena *arena,
                                       struct str *value, struct error *error);
void pattern_table_close(struct table *table);
