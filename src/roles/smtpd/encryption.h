/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS with clients: STARTTLS (RFC 3207) and the wrapper mode of port 465. What one smtpd line of
 * master.cf wants of it, with its certificates (the keys are the role keys'); and the handshake of
 * a conversation. What a handshake came to is in session->tls.
 */
#pragma once

#include "conversation.h"
#include "service/service.h"

struct encryption;

struct encryption_options {
    struct service *service;  /* NULL: no tickets */
    struct keys_client *keys; /* who has the private keys; NULL only where there are none */
    const struct config *config;
    const struct log_context *log;
};

/* Before the role is confined; borrows what the options name. NULL with `error`: the operator must
 * mend the configuration. Keys and certificates that do not load are no error: TLS is then refused
 * with 454, as in Postfix, and the log says why. */
struct encryption *encryption_new(const struct encryption_options *options, struct error *error);
void encryption_free(struct encryption **encryption);

/* Whether EHLO offers STARTTLS to this conversation. */
bool encryption_is_offered(const struct conversation *conversation);
/* Whether only TLS will do, and there is none yet: 530. */
bool encryption_is_missing(const struct conversation *conversation);
/* Whether AUTH has to wait for TLS. */
bool encryption_must_precede_authentication(const struct conversation *conversation);

/* The STARTTLS command. */
enum next encryption_start(struct conversation *conversation, struct str argument);
/* smtpd_tls_wrappermode: TLS before the greeting. NEXT_COMMAND: go on and greet. */
enum next encryption_wrap(struct conversation *conversation);
/* The comment for the Received: header, in the scratch arena; empty where there is none. */
struct str encryption_received_comment(struct conversation *conversation);
