/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that the configuration names, for roles that may not open sockets themselves: the
 * master connects to it on demand (wire/connector.h).
 */
#pragma once

#include "net/stream.h"
#include "service/service.h"

struct endpoint;

/* "inet:host:port", "host:port", "unix:path", "path"; paths are relative to queue_directory. Hosts
 * are looked up here, once. Only in a role's start and listener functions; lives as long as the
 * service. NULL with `error`: malformed, or a host without an address. */
struct endpoint *endpoint_new(struct service *service, struct str text, struct error *error);
/* Tries its addresses in turn; suspends the fiber. On anything but STREAM_OK `error` has the last
 * reason ("Connection refused"). */
enum stream_outcome endpoint_connect(struct endpoint *endpoint, int64_t deadline_ms,
                                     struct stream **stream, struct error *error);
/* As it was written, for log lines. */
struct str endpoint_text(const struct endpoint *endpoint);
