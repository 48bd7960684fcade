/* SPDX-License-Identifier: Apache-2.0 */
/* Who the client is: its verified host name, and what that entitles it to. */
#pragma once

#include "conversation.h"

/* Fills the session's client_name and is_local_client. Asks DNS, so it suspends the fiber. A name
 * counts only where it leads back to the address; else the client is "unknown". */
void client_identify(struct conversation *conversation);
/* smtpd_forbid_bare_newline_exclusions. */
bool client_may_send_bare_newlines(const struct conversation *conversation);
