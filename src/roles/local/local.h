/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery to names of this machine: aliases, .forward files, mailboxes and commands. Its own
 * aliases' and users' entries are gone through with a stack of work, so nothing recurses however
 * names refer to one another; what is for other transports becomes new messages, which the queue
 * has on disk before the recipient counts as done.
 */
#pragma once

#include "delivery.h"

/* One recipient, to its end. */
void local_deliver(struct delivery *delivery, size_t recipient);
