/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of postconf share: the request, and how text is laid out as Postfix does it.
 */
#pragma once

#include "config/usage.h"
#include "config/values.h"
#include "tool.h"

enum postconf_flag {
    POSTCONF_DEFAULTS = 1 << 0,   /* -d */
    POSTCONF_SET_ONLY = 1 << 1,   /* -n */
    POSTCONF_NO_NAMES = 1 << 2,   /* -h */
    POSTCONF_NAMES_ONLY = 1 << 3, /* -H */
    POSTCONF_EXPAND = 1 << 4,     /* -x */
    POSTCONF_FOLD = 1 << 5,       /* -f */
    POSTCONF_SERVICES = 1 << 6,   /* -M */
    POSTCONF_FIELDS = 1 << 7,     /* -F */
    POSTCONF_OVERRIDES = 1 << 8,  /* -P */
    POSTCONF_EDIT = 1 << 9,       /* -e */
    POSTCONF_EXCLUDE = 1 << 10,   /* -X */
    POSTCONF_COMMENT = 1 << 11,   /* -# */
    POSTCONF_TEXTS = 1 << 12,     /* -b */
    POSTCONF_TEMPLATES = 1 << 13, /* -t */
};
enum postconf_class {
    POSTCONF_BUILTIN = 1 << 0,
    POSTCONF_SERVICE = 1 << 1,
    POSTCONF_USER = 1 << 2,
    POSTCONF_ALL = 7,
};

struct postconf {
    struct tool tool; /* its source is read for every request; its config is not made */
    const char *folder;
    unsigned flags;       /* enum postconf_flag */
    unsigned class;       /* enum postconf_class */
    struct buf overrides; /* from -o: lines that follow main.cf's own */
    struct config_values *values;
    struct config_usage *usage;
    char **words; /* the names behind the options */
    int word_count;
};

/* Each prints what is asked for and returns the exit status. */
int postconf_show_parameters(struct postconf *postconf);
int postconf_show_services(struct postconf *postconf);
/* -b, -t. */
int postconf_show_templates(struct postconf *postconf, bool is_expanded);
int postconf_edit_main(struct postconf *postconf);
int postconf_edit_master(struct postconf *postconf);

/* Postfix's exit status for whatever goes wrong. */
enum { POSTCONF_FAILED = 1 };

/* Appends the words of `text`, each behind a blank where `out` is not empty. With `folds`, a line
 * that would pass column 80 goes on in the next, four columns in. */
void postconf_lay_out_words(struct buf *out, struct str text, bool folds);
/* A line of master.cf in columns, with its line end. */
void postconf_lay_out_service(struct buf *out, const struct master_service *service, bool folds);
/* The command and its arguments alone, in one line. */
void postconf_lay_out_command(struct buf *out, const struct master_service *service);

/* Whether `service` fits "name/type", where a part that is missing or "*" fits everything. What
 * follows a second '/' is left in `rest`. */
bool postconf_service_fits(const struct master_service *service, struct str pattern,
                           struct str *rest);
