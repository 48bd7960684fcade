/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands' end (wire/tools.def): mailq, postqueue, postsuper and postcat ask here while the
 * mail system runs. Each connection is a fiber that walks the store in portions while mail flows.
 * Who asks is known by the socket's peer credentials.
 */
#pragma once

#include "base/list.h"
#include "net/listener.h"

#include <sys/types.h>

struct queue;

struct tools {
    struct listener *listeners[4];
    size_t listener_count;
    struct list clients;
    size_t client_count;
};

void tools_init(struct queue *queue);
void tools_clear(struct queue *queue);
/* Takes over the listening socket. */
must_check bool tools_listen(struct queue *queue, int fd, struct error *error);
/* One connection, taken over (tools_listen does this for each). */
void tools_accept(struct queue *queue, int fd);
