/* SPDX-License-Identifier: Apache-2.0 */
/* Delivery to an external command that master.cf describes. */
#pragma once

#include "delivery.h"

/* All recipients of the job, to their end: one command for all of them. */
void pipe_deliver(struct delivery *delivery);
