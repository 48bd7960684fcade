/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders that the mail system lives in (queue_directory, data_directory), who owns them, and
 * the lock that says whether it runs. The master prepares them; `postfix check` and the commands
 * look at them.
 */
#pragma once

#include "config/config.h"

#include <sys/types.h>

struct spool_owner {
    uid_t uid; /* mail_owner; without root: whoever runs this */
    gid_t gid;
    gid_t drop_gid; /* setgid_group */
};

must_check bool spool_owner_find(const struct config *config, struct spool_owner *owner,
                                 struct error *error);

/* Makes what is missing below queue_directory and data_directory, with the right owner and mode,
 * and refuses what is there in a dangerous form (a link, another owner, writable by others).
 * `created` (may be NULL) hears of each folder that was made. */
must_check bool spool_prepare(const struct config *config, const struct spool_owner *owner,
                              void (*created)(void *argument, const char *path), void *argument,
                              struct error *error);

/* queue_directory/pid/master.pid: locked while a master runs. */
enum spool_running { SPOOL_STOPPED, SPOOL_RUNNING, SPOOL_UNKNOWN };
/* `pid` is the master's when it runs. Takes the folder alone: whether it runs, and how to stop it,
 * must not depend on a configuration without mistakes. */
enum spool_running spool_is_running(struct str queue_directory, pid_t *pid, struct error *error);
/* Takes the lock and writes our pid; the descriptor holds it, -1 when another master runs. */
int spool_lock_master(const struct config *config, struct error *error);

/* Paths below queue_directory, into the arena. */
const char *spool_path(struct arena *arena, const struct config *config, const char *name);
