/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is learned of a server from its greeting and its reply to EHLO, and what the configuration
 * has to say about servers at such an address.
 */
#pragma once

#include "session.h"

/* A greeting that hides behind asterisks: smtp_pix_workarounds. */
void hello_note_firewall(struct session *session);
/* The session's offer, without what smtp_discard_ehlo_keywords (or the address's own list) takes
 * away. */
void hello_learn_offer(struct session *session);
