/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.cf as it stands: assignments in order, unexpanded. See postconf(5), "file format".
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

struct main_cf_assignment {
    struct str name;
    struct str value; /* logical line joined, white space trimmed at both ends, not expanded */
    const char *file;
    int line; /* of its first physical line */
};

/* Something that is read, but probably not meant so: "main.cf, line 3: …". */
struct main_cf_note {
    const char *text;
};

struct main_cf {
    struct main_cf_assignment *assignments; /* in file order; the last one of a name wins */
    size_t count;
    struct main_cf_note *notes;
    size_t note_count;
};

/* Parses the text of one file. Strings live in the arena. */
must_check bool main_cf_parse(struct arena *arena, const char *file, struct str text,
                              struct main_cf *main_cf, struct error *error);
/* The winning assignment, or NULL. */
const struct main_cf_assignment *main_cf_find(const struct main_cf *main_cf, struct str name);
