/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Non-delivery notifications (RFC 3464): new messages from the null sender to the sender of mail
 * that failed, or to the postmaster where that is the null sender itself. A notification about a
 * notification about a notification is never made.
 */
#pragma once

#include "message.h"

/* The notification for the recipients whose verdict is VERDICT_BOUNCED; NULL in `notice` where
 * nobody is to be told. False: there is no queue id for it just now, try again. */
must_check bool bounce_make(struct message *original, struct message **notice);
/* Puts it into the commit, together with the request that follows. When it is done, the notice has
 * left original->notice and goes its way as new mail. */
void bounce_submit(struct message *notice);
