/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands' end (wire/tools.def): mailq, postqueue, postsuper and postcat ask here while the
 * mail system runs. A request runs as a fiber that walks the store in portions while mail flows;
 * a client's next request is read when the one before has ended. Who asks is known by the socket's
 * peer credentials.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "net/listener.h"

struct queue;

enum { TOOL_LISTENERS_MAX = 4 };

struct tools {
    struct listener *listeners[TOOL_LISTENERS_MAX];
    size_t listener_count;
    struct list clients;
    size_t client_count;
    size_t running;       /* requests that are being worked on */
    struct map *changing; /* ids at rest that are being deleted, held or released right now */
    bool is_draining;
};

void tools_init(struct queue *queue);
/* No request is running any more. */
void tools_clear(struct queue *queue);
/* Takes over the listening socket. */
must_check bool tools_listen(struct queue *queue, int fd, struct error *error);
/* One connection, taken over; tools_listen does this for each. */
void tools_accept(struct queue *queue, int fd);
/* Ends the requests that run at their next wait; none begins any more. */
void tools_drain(struct queue *queue);
/* Whether the message at rest is about to change: it is not taken up meanwhile. */
bool tools_are_changing(const struct queue *queue, uint64_t queue_id);
