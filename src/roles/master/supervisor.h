/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The children's life: which roles run and how many workers of each, who has a channel to whom,
 * restarts with back-off when one dies, replacement at a reload, and an orderly end. It belongs to
 * the master's loop.
 */
#pragma once

#include "base/log.h"
#include "loop/loop.h"
#include "sockets.h"

struct supervisor;

struct supervisor_events {
    /* Every role answered `control_ready` for the first time. */
    void (*all_ready)(void *argument);
    /* Before all were ready one of them could not start; everything is being stopped. */
    void (*start_failed)(void *argument, const char *reason);
    /* After a later supervisor_apply: every role is ready with it … */
    void (*settled)(void *argument);
    /* … or one of them cannot start with it. Whoever hears this may apply another one at once. */
    void (*apply_failed)(void *argument, const char *reason);
    /* The last process is gone. */
    void (*all_gone)(void *argument);
};

/* `log_write_fd` is inherited by every role, `log_read_fd` goes to the log role. Both stay the
 * caller's. */
struct supervisor *supervisor_new(struct loop *loop, const struct log_context *log_context,
                                  const struct supervisor_events *events, void *argument);
void supervisor_free(struct supervisor **supervisor);
void supervisor_set_log_sockets(struct supervisor *supervisor, int log_read_fd, int log_write_fd);

/* The set moved to another place in memory. */
void supervisor_set_sockets(struct supervisor *supervisor, const struct sockets *sockets);

/* Starts everything, or, when it runs already, moves to this configuration: the queue takes it in
 * place, all others are replaced while what they have in hand goes on. Copies what it needs;
 * `sockets` must live until the next call. */
must_check bool supervisor_apply(struct supervisor *supervisor, const struct config_source *source,
                                 const struct config *config, const struct sockets *sockets,
                                 struct error *error);
/* Has the roles that use tables of these kinds (enum table_use) read them again: the queue in
 * place, others by a successor. Gives back what could not be done now. */
unsigned supervisor_renew(struct supervisor *supervisor, unsigned uses);
/* A SIGCHLD arrived. */
void supervisor_reap(struct supervisor *supervisor);
/* Conversations and deliveries first, then queue and resolver, the log last. `duration_ms` 0 ends
 * everything at once. */
void supervisor_stop(struct supervisor *supervisor, int64_t duration_ms);
/* Tells the queue to try everything that is deferred. */
void supervisor_wakeup(struct supervisor *supervisor, const char *role, uint8_t reason);
/* Asks every role for its status: each answer is logged by line. */
void supervisor_log_status(struct supervisor *supervisor);
