/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every command needs: its name in front of messages, the configuration, and the mail log for
 * what an operator will look for there. Lives in main()'s frame of one command.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"

#include <stdio.h>
#include <sysexits.h>

struct tool {
    const char *name;
    const char *folder; /* -c, see tool_next_option; NULL: none was given */
    bool is_verbose;    /* -v */
    struct config_source source;
    struct config *config; /* NULL before tool_configure */
    int log_fd;            /* of maillog_file, once something was logged; -1 */
};

/* Opens closed standard descriptors on /dev/null, so that no file we open gets their numbers. */
void tool_start(struct tool *tool, const char *name);
/* Getopt for the commands that take -c and -v, which are dealt with here; options and arguments may
 * be mixed, as in Postfix. '?' for what is no option or lacks its value; it has been told then. */
int tool_next_option(struct tool *tool, int argc, char **argv, const char *letters);
/* Reads the configuration from `folder`, else $MAIL_CONFIG, else the default. On failure a message
 * has been printed; the exit status is then EX_CONFIG. */
must_check bool tool_configure(struct tool *tool, const char *folder);
/* The folder that tool_configure takes. */
const char *tool_folder(const char *folder);
void tool_end(struct tool *tool);

/* "name: fatal: text" on standard error; returns `status`. */
__attribute__((format(printf, 3, 4))) int tool_fail(const struct tool *tool, int status,
                                                    const char *format, ...);
__attribute__((format(printf, 2, 3))) void tool_warn(const struct tool *tool, const char *format,
                                                     ...);
/* "name: text" on standard error and a line in the mail log. */
void tool_note(struct tool *tool, struct str text);
/* The same as a warning. */
void tool_note_warning(struct tool *tool, struct str text);
/* Usage errors all look alike: the reason, and where to read on. Returns EX_USAGE. */
int tool_usage(const struct tool *tool, const char *reason);
/* Getopt's '?' for `optopt`; see tool_usage. */
int tool_bad_option(const struct tool *tool, int option);
/* A line in maillog_file or, without one, in syslog; what cannot be written there is dropped. */
void tool_log(struct tool *tool, const char *tag, enum severity severity, struct str text);

/* Writes to standard output; EX_OK, or EX_IOERR with a message when that failed. */
int tool_flush_output(const struct tool *tool);
