/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a user is, for a role that cannot look for itself. The system's libraries may ask servers, so
 * each look-up is a child's, with no rights and a few seconds' time; the role is given the other
 * end of the child's socket. The child ends as any other of the master's (supervisor_reap).
 */
#pragma once

#include "net/channel.h"

/* A control_ask_user of `control`. False: malformed. `*has_child`: there is one more child. */
must_check bool user_name_ask(struct channel *control, struct str payload, bool may_start,
                              bool *has_child);
