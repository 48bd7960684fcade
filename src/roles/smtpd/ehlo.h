/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reply to EHLO: the extensions that this client is offered. A word that the client is not
 * offered is not taken from it either, where the extension has a command or parameter of its own.
 */
#pragma once

#include "conversation.h"

/* May suspend the fiber. */
enum next ehlo_reply(struct conversation *conversation);
/* smtpd_discard_ehlo_keywords and its maps, before EHLO: a table that fails counts for nothing. */
void ehlo_find_discarded(struct conversation *conversation);
bool ehlo_discards(const struct conversation *conversation, struct str keyword);
/* Whether the client is offered the extension; `keyword` in upper case. */
bool ehlo_has_keyword(const struct conversation *conversation, struct str keyword);
