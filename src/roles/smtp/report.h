/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells what became of a recipient: the log line in Postfix's form and the result for the queue.
 * Each recipient is settled exactly once.
 */
#pragma once

#include "delivery.h"
#include "session.h"

/* The session's latest reply is the server's word for it. */
void report_sent(struct delivery *delivery, size_t recipient, const struct session *session);
/* Deferred or bounced, as the failure's class says (soft_bounce makes every failure soft). */
void report_failed(struct delivery *delivery, size_t recipient, const struct failure *failure,
                   const struct session *session /* NULL: no connection */);
/* Not attempted; the queue keeps it as it was. */
/* best_mx_transport: another transport takes the recipient. */
void report_passed(struct delivery *delivery, size_t recipient, struct str target);
void report_undone(struct delivery *delivery, size_t recipient);
/* The transcript of a session goes to the postmaster, where that is due. */
void report_misunderstanding(struct session *session);
/* After the last recipient. */
void report_done(struct delivery *delivery);
