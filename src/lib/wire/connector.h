/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections for a role that may not open sockets: it names the servers that its configuration
 * wants (a policy service, an authentication server) before it is confined, and asks the master
 * for a connection to one of those when it needs it. Whoever takes the role over reaches no other.
 * In the same way it asks for the name of a user, which the system's libraries may have to ask
 * servers for.
 */
#pragma once

#include "net/channel.h"
#include "net/stream.h"

struct connector;

/* `control` is the role's channel to the master, borrowed; it outlives the connector. */
struct connector *connector_new(struct loop *loop, struct channel *control);
/* No fiber may wait in connector_connect any more. */
void connector_free(struct connector **connector);

/* How many different servers a role can name. */
enum { CONNECTOR_NAMES_MAX = 64 };
/* Names a server, before the role is ready; its number for connector_connect. The same address has
 * the same number. False when there are too many. */
must_check bool connector_name(struct connector *connector, const struct sockaddr *address,
                               socklen_t len, uint32_t *number);
/* Connects to it; suspends the fiber. On anything but STREAM_OK `error` says why. */
enum stream_outcome connector_connect(struct connector *connector, uint32_t endpoint,
                                      int64_t deadline_ms, struct stream **stream,
                                      struct error *error);
/* The login name of a user; empty where nobody has the number. Suspends the fiber. False with
 * `error`: not to be had now. */
must_check bool connector_ask_user(struct connector *connector, uint32_t uid, int64_t deadline_ms,
                                   struct buf *name, struct error *error);
/* The master's answers, as they arrive on the control channel. False: malformed. */
bool connector_connected(struct connector *connector, struct str payload);
bool connector_not_connected(struct connector *connector, struct str payload);
