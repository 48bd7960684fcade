/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's part in STARTTLS (RFC 3207) beside its dialogue: whether to ask for it, and the
 * handshake with all that is checked and logged of it. The policy is session->tls_policy. Where a
 * function returns false, session->refusal says why (NULL: cancelled).
 */
#pragma once

#include "session.h"
#include "tls_policy.h"

/* The server's EHLO is known: does the policy ask for STARTTLS? False: it must have TLS, and
 * cannot. */
bool starttls_check_offer(struct session *session, bool *is_wanted);
/* The server said no; true: go on in clear. */
bool starttls_accept_refusal(struct session *session);
/* Everything that was learned in clear is forgotten. */
bool starttls_shake_hands(struct session *session);
