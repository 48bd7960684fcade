/* SPDX-License-Identifier: Apache-2.0 */
/* What postmap, postalias and newaliases have in common: building, changing and asking tables. */
#pragma once

#include "tool.h"

struct table_tool {
    struct tool tool;
    bool is_alias;             /* sources are aliases files: "name: value" */
    bool is_incremental;       /* -i */
    bool may_replace;          /* -r */
    bool is_quiet;             /* -w: nothing about duplicates */
    bool keeps_case;           /* -f */
    bool keeps_mode;           /* -p */
    bool stays_root;           /* -o */
    bool is_listing;           /* -s */
    bool has_file_values;      /* -F */
    bool is_json;              /* -j */
    unsigned message_parts;    /* -h -b -m: enum table_message_part */
    const char *configuration; /* -c */
    const char *query;         /* -q */
    const char *removal;       /* -d */
};

/* Builds "type:file" ("file" alone: default_database_type) from its source. Returns an exit
 * status, after a message where it is not 0. */
int table_tool_build(struct table_tool *table_tool, const char *specification);
/* postmap_main and postalias_main. */
int table_tool_main(struct table_tool *table_tool, int argc, char **argv);
