/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts of notices, from bounce_template_file or built in: bounce(5). A file may have any of
 * the four templates; what is wrong in it is told, and the built-in template stands in for it.
 * Strings live in the arena, or are constants.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "config/config.h"

enum bounce_template_kind {
    TEMPLATE_FAILURE,
    TEMPLATE_DELAY,
    TEMPLATE_SUCCESS,
    TEMPLATE_VERIFY, /* sendmail -v, -bv */
    TEMPLATE_KINDS,
};

struct bounce_template {
    struct str charset; /* "us-ascii" where nothing else is said */
    struct str from;    /* a header's value; the domain may be missing */
    struct str subject;
    struct str postmaster_subject; /* empty: the postmaster gets none of these */
    struct str text;               /* with LF line ends, expanded */
    struct str source;             /* the text as it stands in the file, its $names in it */
};

struct bounce_templates {
    struct bounce_template kinds[TEMPLATE_KINDS];
};

/* "failure", "delay", "success", "verify" */
const char *bounce_template_name(enum bounce_template_kind kind);

struct bounce_template_heard {
    void (*warning)(void *argument, const char *text);
    void *argument;
};

/* The built-in ones, and what `file` (its text; `name` for messages) has in their place. Expands
 * $names from `config`. */
void bounce_templates_make(struct arena *arena, const struct config *config, const char *name,
                           struct str file, const struct bounce_template_heard *heard,
                           struct bounce_templates *templates);
/* The same, from the file that bounce_template_file names, if any. */
void bounce_templates_load(struct arena *arena, const struct config *config,
                           const struct bounce_template_heard *heard,
                           struct bounce_templates *templates);
