/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that gets a message on its standard input, with the rights of a user and a clean
 * environment. No shell, unless a command text has characters that only a shell understands.
 */
#pragma once

#include "base/arena.h"
#include "child.h"
#include "copy.h"
#include "outcome.h"

struct command {
    struct rights rights;
    const char *text; /* a command line; or NULL and `arguments` */
    const char *const *arguments;
    const char *shell;              /* local_command_shell; empty: /bin/sh where one is needed */
    const char *const *environment; /* "NAME=value", ended by NULL */
    const char *root;               /* its root directory; NULL: the system's */
    const char *folder;             /* NULL: `default_folder` where that can be entered */
    const char *default_folder;
    struct copy copy;
    int64_t limit_ms;
    int64_t size_limit_bytes;
};

/* Whether the text can be run without a shell. */
bool command_is_plain(struct str text);
/* Only in a fiber. False: the fiber was cancelled, and nothing is known. */
bool command_run(struct loop *loop, const struct command *command, struct outcome *outcome);
