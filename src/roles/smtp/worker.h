/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker of the smtp role: the queue's jobs and what they share. One in the process; everything
 * in it belongs to its loop.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "connection_cache.h"
#include "local_servers.h"
#include "net/channel.h"
#include "net/dns.h"
#include "own_host.h"
#include "service/jobs.h"
#include "service/keys.h"
#include "service/login_cache.h"
#include "transport.h"

struct worker {
    struct loop *loop;
    struct log_context log; /* the role's own, for what belongs to no transport */
    struct jobs jobs;
    struct transports transports;
    struct own_host own;
    struct arena arena; /* as long as the worker */
    struct dns_client *dns;
    struct search_domains search_domains; /* of resolv.conf */
    struct login_cache *login_cache;
    struct keys_client *keys;
    struct str best_mx_transport;        /* empty: none */
    struct local_servers *local_servers; /* NULL: none */
    struct connection_cache cache;
    struct tls_sessions *tls_sessions;
    int64_t delay_decimals; /* delay_logging_resolution_limit, where there is no transport */
    struct buf scratch;     /* for one log line at a time */
    uint64_t opened_connection_count, reused_connection_count;
};

struct worker_options {
    struct loop *loop;
    struct log_context log;
    const struct config_source *source;
    const struct config *config;
    struct local_servers *local_servers; /* taken over; or NULL */
    void (*drained)(void *argument);
    void *argument;
};

must_check bool worker_init(struct worker *worker, const struct worker_options *options,
                            struct error *error);
/* A (new) channel to the queue; takes over `fd`. What was under way for an older one is given up,
 * as the new queue process knows nothing of it. */
must_check bool worker_attach_queue(struct worker *worker, int fd, struct error *error);
/* No more jobs; idle connections are closed. */
void worker_drain(struct worker *worker);
/* The deliveries that can be given up are. */
void worker_cancel_all(struct worker *worker);
/* Everything that is under way ends at its next wait: what is open is left undone, and what a
 * server has got without answering yet is deferred. */
void worker_abandon_all(struct worker *worker);
/* No delivery may be left. */
void worker_clear(struct worker *worker);
