/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor keeps, for the files that it is made of: supervisor.c, links.c. */
#pragma once

#include "base/list.h"
#include "role_table.h"
#include "service_places.h"
#include "supervisor.h"

#include <sys/types.h>

/* A place that is to be filled: one worker of one role. */
struct seat {
    struct supervisor *supervisor;
    const struct role_row *role;
    struct process *process; /* NULL while it waits for its restart */
    struct timer restart;
    int64_t backoff_ms;
};

struct process {
    struct list link;
    struct supervisor *supervisor;
    const struct role_row *role;
    uint32_t worker;   /* never used twice, so that peers can tell a successor from it */
    struct seat *seat; /* NULL: retired, finishing what it has */
    pid_t pid;
    struct channel *control; /* NULL once it closed */
    struct endpoints *endpoints;
    int64_t started_ms;
    bool is_started; /* got control_start */
    bool is_ready;
    struct timer kill;
};

/* Two workers whose channel has ended: they get a new one if both still live then. */
struct relink {
    struct list link;
    struct supervisor *supervisor;
    uint32_t one, other;
    struct timer timer;
};

struct supervisor {
    struct loop *loop;
    struct log_context log_context;
    const struct supervisor_events *events;
    void *argument;
    int log_read_fd, log_write_fd;
    struct seat *seats[ROLE_COUNT][WORKERS_MAX];
    struct list processes;
    struct list relinks;
    struct arena arena; /* made anew with each configuration */
    const char *const *environment;
    int snapshot_fd; /* the configuration in force, sealed */
    const struct sockets *sockets;
    struct service_places *places;
    struct tls_tickets *tickets; /* NULL: the system has no randomness */
    uint32_t next_worker;
    unsigned lookups; /* children of user_name.h */
    bool was_ready;   /* all roles were, once */
    bool is_settling; /* not all roles are ready yet with the configuration in force */
    bool is_stopping;
    enum stop_stage stage;
    int64_t stop_duration_ms;
};
