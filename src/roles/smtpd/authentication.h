/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AUTH (RFC 4954): the client proves who it is to an authentication server (sasl_server.h); we
 * carry the words between them.
 */
#pragma once

#include "conversation.h"
#include "service/service.h"

struct authentication;

/* For one smtpd line of master.cf, before the role is confined; borrows `config`. NULL with
 * `error`: the operator must mend the configuration. */
struct authentication *authentication_new(struct service *service, const struct config *config,
                                          const struct log_context *log, struct error *error);
void authentication_free(struct authentication **authentication);

/* What EHLO offers this client: "PLAIN LOGIN" in the scratch arena, or empty. Asks the server,
 * where it was not asked lately; suspends the fiber. */
struct str authentication_offer(struct conversation *conversation);
/* The AUTH command. */
enum next authentication_run(struct conversation *conversation, struct str argument);
