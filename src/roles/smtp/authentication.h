/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging in to a server: whose name and password, which mechanism, and Postfix's words for what
 * comes of it. The exchange itself is the dialogue's.
 */
#pragma once

#include "delivery.h"
#include "session.h"

enum authentication_plan {
    AUTHENTICATION_NONE,   /* not wanted, not offered, or nobody's name is known */
    AUTHENTICATION_READY,  /* session->login is set */
    AUTHENTICATION_FAILED, /* with `*failure` */
};
enum authentication_plan authentication_plan(struct session *session,
                                             const struct failure **failure);
/* The exchange is over: the password is wiped. */
void authentication_end(struct session *session);
/* The server's latest reply refuses. */
const struct failure *authentication_refused(const struct session *session);
/* It cannot go on from here: "no mechanism available", "bad protocol / cancel". */
const struct failure *authentication_impossible(const struct session *session, const char *reason);
