/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One smtpd line of master.cf, as a worker serves it: its policy, the one under overload, its
 * sockets and its share of the service's places. It decides whether a connection may be accepted,
 * and under which policy its conversation runs. Lives as long as the role; belongs to its loop.
 *
 * Postfix has a process for each conversation, as many as "maxproc" allows, and leaves further
 * clients to the kernel's queue; who gets the last process, and who comes within the next 1000
 * seconds, is served with stress=yes. So it is here, where a limit was given; without one it is the
 * descriptors of this process that run out.
 */
#pragma once

#include "net/listener.h"
#include "policy.h"
#include "server.h"
#include "service/places.h"
#include "wire/wire.h"

struct line;

/* Maps the places (closes places->memory) and makes the policies; NULL with `error`. */
struct line *line_new(struct service *service, struct server *server,
                      const struct master_service *master_line,
                      const struct wire_control_places *places, struct error *error);
void line_free(struct line **line);

bool line_is_of(const struct line *line, const struct master_service *master_line);
bool line_has_number(const struct line *line, uint32_t number);

/* A listening socket, now the line's; nothing is accepted before line_accept. */
void line_add_socket(struct line *line, int fd);
void line_accept(struct line *line);
void line_stop_accepting(struct line *line);
/* Somewhere a place was given back. */
void line_go_on(struct line *line);

/* For the end of a conversation: gives its place back. `line` may be NULL. */
void line_leave(struct line *line, size_t place);

/* "service NAME: …", for `postfix status -v`. */
void line_format_status(const struct line *line, struct buf *out);
