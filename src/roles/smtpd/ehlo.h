/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reply to EHLO: the extensions that this client is offered. A word that the client is not
 * offered is not taken from it either, where the extension has a command or parameter of its own.
 */
#pragma once

#include "conversation.h"

/* The whole reply, in the scratch arena. May suspend the fiber. */
struct str ehlo_format(struct conversation *conversation);
/* Whether the client is offered the extension; `keyword` in upper case. */
bool ehlo_has_keyword(const struct conversation *conversation, struct str keyword);
