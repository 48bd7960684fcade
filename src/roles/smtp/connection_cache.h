/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idle connections, kept for a moment in case the next job has the same transport and nexthop.
 * "On demand": a connection is kept only where the destination has other mail under way or had
 * some a moment ago, so a single message still ends with QUIT at once. A kept connection is parked:
 * it costs a descriptor and no stack, and is dropped when the server closes it or says something.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "session.h"

struct connection_cache {
    struct loop *loop;
    struct map *destinations; /* transport and nexthop → struct destination */
    size_t idle_count;
    bool is_closed;      /* keeps nothing any more */
    struct list closing; /* struct session, by_destination: their fibers say QUIT */
    size_t closing_count;
    void (*closed_one)(void *argument);
    void *argument;
};

enum { IDLE_CONNECTIONS_MAX = 500 };

/* `closed_one` is called whenever a connection that was dropped is really closed. */
void connection_cache_init(struct connection_cache *cache, struct loop *loop,
                           void (*closed_one)(void *argument), void *argument);
/* Drops all and keeps nothing from now on. */
void connection_cache_close(struct connection_cache *cache);
/* The connections that say QUIT no longer wait for anything. */
void connection_cache_hurry(struct connection_cache *cache);
void connection_cache_clear(struct connection_cache *cache);

/* A job for this destination begins (ends). Returns the destination, valid until the end. */
struct destination *connection_cache_enter(struct connection_cache *cache,
                                           const struct transport *transport, struct str nexthop);
void connection_cache_leave(struct connection_cache *cache, struct destination *destination);

/* An idle connection, now the caller's; NULL when there is none. */
struct session *connection_cache_take(struct connection_cache *cache,
                                      struct destination *destination);
/* From a fiber. Keeps the session (after RSET where its transaction was left unfinished), or says
 * QUIT in a fiber of its own where it is not worth keeping. */
void connection_cache_give(struct connection_cache *cache, struct destination *destination,
                           struct session *session);
