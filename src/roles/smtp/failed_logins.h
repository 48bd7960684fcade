/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_sasl_auth_cache_name: a login that a server refused with 535 is not tried again with the
 * same server, user and password until smtp_sasl_auth_cache_time is over. The proxywrite role keeps
 * them (service/login_cache.h), by server and user; of the password it gets a salted, stretched
 * digest.
 */
#pragma once

#include "session.h"

/* What the server said when this login was refused; an empty text: it may be tried. Asks and waits;
 * the answer lives in the delivery's arena. */
struct failed_login {
    struct str dsn, reply;
};
struct failed_login failed_login_find(const struct session *session, struct str user,
                                      struct str password);
/* session->login was refused with session->reply. */
void failed_login_keep(const struct session *session);
