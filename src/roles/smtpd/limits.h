/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtpd_client_*_limit: how much a client may do, over all workers. The anvil role counts; where it
 * is away nothing is limited. Used from fibers, which may be suspended.
 */
#pragma once

#include "conversation.h"

/* The client is too many, or too often here: 421 is answered, the connection ends. */
must_check bool limits_allow_connection(struct conversation *conversation);
/* 450 is answered where they say no. */
must_check bool limits_allow_message(struct conversation *conversation);
must_check bool limits_allow_recipient(struct conversation *conversation);
must_check bool limits_allow_login(struct conversation *conversation);
/* Before STARTTLS: whether it had too many new TLS sessions already; 454 is answered. */
must_check bool limits_allow_handshake(struct conversation *conversation);
/* The same where TLS comes first: nothing is said. */
must_check bool limits_allow_wrapper(struct conversation *conversation);
/* A new TLS session came to be; 421 is answered where it is one too many, the connection ends. */
must_check bool limits_allow_new_tls(struct conversation *conversation);
/* At its end; no harm where it was not counted. */
void limits_end_connection(struct conversation *conversation);
