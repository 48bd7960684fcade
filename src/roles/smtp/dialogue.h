/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of SMTP: the table of commands with their phase, deadline and reply handler,
 * and the one driver that reads replies. Commands go out as far as the server allows (PIPELINING),
 * each leaves an `expect` record, and replies pop them in order; nothing is sent that depends on
 * a reply not read yet.
 */
#pragma once

#include "delivery.h"
#include "session.h"

/* Greeting and EHLO (or HELO). False with `*failure` (NULL: the fiber was cancelled) where this
 * server is of no use. */
bool dialogue_greet(struct session *session, struct delivery *delivery,
                    const struct failure **failure);
/* Offers the open recipients in one transaction. Afterwards each is settled or open with its
 * failure; session->is_stale says that a reused connection was over before it began, which leaves
 * all as it was. */
void dialogue_transact(struct session *session, struct delivery *delivery);
/* Ends a transaction that did not get to its end, so that the next one can begin. False: the
 * connection is of no more use. */
bool dialogue_reset(struct session *session);
/* Says QUIT, as far as the server still listens. The session is to be freed then. */
void dialogue_quit(struct session *session);
