/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which notices are due when a message's active time ends (RFC 3461, 3464; bounce(5)): of failure,
 * delay and success to the sender, copies for the postmaster as notify_classes says. Mail that has
 * no sender is returned to the postmaster where notify_classes has 2bounce; what cannot reach the
 * postmaster is dropped with a warning. So no notice ever leads to another without end.
 */
#pragma once

#include "message.h"

/* What this end calls for. */
struct bounce_needs {
    bool has_failed; /* recipients have VERDICT_BOUNCED */
    bool is_delayed; /* it waits so long that the sender is warned */
};

/* Makes the notices, into original->notices. Recipients whose failure nobody can be told of now
 * become deferred; those whose success was told become delivered. False: there are no queue ids
 * just now, try again. */
must_check bool bounce_make(struct message *original, const struct bounce_needs *needs);
