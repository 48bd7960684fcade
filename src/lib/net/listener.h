/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepts connections on a listening socket that the master opened. When descriptors run out it
 * pauses instead of spinning.
 */
#pragma once

#include "loop/loop.h"
#include "net/address.h"

struct listener;

/* Takes over `fd` (closes it on failure, too); several processes may share the socket. `accepted`
 * may pause and free the listener; it owns the connection's descriptor (non-blocking,
 * close-on-exec). */
struct listener *listener_new(struct loop *loop, int fd,
                              void (*accepted)(void *argument, int fd,
                                               const struct net_address *peer),
                              void *argument, struct error *error);
/* Where connections are limited: `may_accept` is asked before each one is accepted; when it says no
 * it has paused the listener. `came_to_nothing`: it said yes, and nobody was there. */
void listener_guard(struct listener *listener, bool (*may_accept)(void *argument),
                    void (*came_to_nothing)(void *argument));
void listener_free(struct listener **listener); /* stops accepting and closes the socket */
/* Stop and go on, for connection limits. A paused one leaves new connections to other processes. */
void listener_pause(struct listener *listener);
void listener_resume(struct listener *listener);
