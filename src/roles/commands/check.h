/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What in a configuration cannot do what its author probably thought: `postfix check` and `waypost
 * check`. Each kind of mistake has a file of its own, check_KIND.c, with one function that looks
 * for it and calls check_find; check.c has their list. A finding is one sentence that says what
 * happens, and one that says how to mend it.
 */
#pragma once

#include "base/arena.h"
#include "config/config.h"
#include "table/table.h"

enum check_level {
    CHECK_HINT,    /* it works, but not all of it does what it says */
    CHECK_WARNING, /* something that is configured does not happen, or something that nobody wants
                    */
    CHECK_ERROR,   /* mail does not flow, or flows for strangers */
};

struct check_place {
    const char *file; /* may be NULL: the machine itself */
    int line;         /* 0: no line */
};

struct check_finding {
    enum check_level level;
    const char *kind; /* "shadowed-transport": for scripts, stays as it is */
    struct check_place place;
    const char *text, *cure;
    struct check_finding *next;
};

struct check {
    const struct config_source *source;
    const struct config *config; /* main.cf alone */
    const char *main_path;       /* "/etc/postfix/main.cf" */
    struct arena arena;          /* the findings' */
    struct check_finding *first, **end;
    size_t count[CHECK_ERROR + 1];
};

/* Runs every check on a configuration that parses. `check` is zeroed by the caller; source and
 * config must outlive it. */
void check_run(struct check *check, const struct config_source *source,
               const struct config *config);
void check_clear(struct check *check);
/* "error", "warning", "hint". */
const char *check_level_word(enum check_level level);
/* "FILE, line N: sentence; cure", in the arena. */
const char *check_finding_text(struct check *check, const struct check_finding *finding);

/* ---- for the checks ---- */

/* `text` and `cure` live as long as check->arena: arena_printf into it. */
void check_find(struct check *check, enum check_level level, const char *kind,
                struct check_place place, const char *text, const char *cure);

/* A parameter's value in one scope: main.cf, or a service that overrides it. */
struct check_setting {
    struct str name, value; /* expanded */
    bool is_set;            /* false: the default */
    struct check_place place;
    const struct master_service *service; /* NULL: main.cf */
};
/* Visits main.cf's value (or the default), then each override of that name. */
void check_each(struct check *check, const char *name,
                void (*visit)(struct check *check, const struct check_setting *setting));
/* main.cf's alone. */
struct check_setting check_setting_of(struct check *check, const char *name);
/* Where main.cf sets it; without a line where it does not. */
struct check_place check_place_of(const struct check *check, struct str name);
struct check_place check_place_of_service(const struct master_service *service);

/* The tables of a value, "hash:/a, pcre:/b", each opened; one that does not open is left out
 * (check_tables.c says so). */
void check_each_table(struct check *check, const struct check_setting *setting,
                      void (*visit)(struct check *check, const struct check_setting *setting,
                                    struct table *table));

void check_names(struct check *check);
void check_values(struct check *check);
void check_tables(struct check *check);
void check_transports(struct check *check);
void check_limits(struct check *check);
void check_restrictions(struct check *check);
void check_addresses(struct check *check);
void check_certificates(struct check *check);
void check_accounts(struct check *check);
void check_headers(struct check *check);
