/* SPDX-License-Identifier: Apache-2.0 */
/* smtpd_reject_footer: what is said behind each reply that refuses. */
#pragma once

#include "conversation.h"

/* The whole reply, lines with their ends; in the conversation's scratch. A footer that cannot be
 * expanded is left out, with a warning. */
struct str reject_footer_append(struct conversation *conversation, struct str reply,
                                struct str footer);
