/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells what became of a recipient: log lines in Postfix's form, and the result for the queue. Each
 * recipient is settled exactly once; an alias may have many log lines.
 */
#pragma once

#include "delivery.h"
#include "outcome.h"

/* What the service's delivery_status_filter and soft_bounce make of it. */
void report_adjust(struct delivery *delivery, struct outcome *outcome);
/* One line: `address` is what the recipient came to. */
void report_line(struct delivery *delivery, size_t recipient, struct str address,
                 const struct outcome *outcome);
/* `action` is what a success was. */
void report_settle(struct delivery *delivery, size_t recipient, const struct outcome *outcome,
                   enum dsn_action action);
/* Both; a success is delivery->success. */
void report(struct delivery *delivery, size_t recipient, const struct outcome *outcome);
/* The recipient goes on to another transport, "transport:nexthop". */
void report_passed(struct delivery *delivery, size_t recipient, struct str target);
/* What is open is told to have been left undone; the job is over. */
void report_done(struct delivery *delivery);
