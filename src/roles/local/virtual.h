/* SPDX-License-Identifier: Apache-2.0 */
/* Mailboxes whose path, user and group are in tables, not in the system's list of users. */
#pragma once

#include "delivery.h"

/* One recipient, to its end. */
void virtual_deliver(struct delivery *delivery, size_t recipient);
