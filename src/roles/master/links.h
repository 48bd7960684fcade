/* SPDX-License-Identifier: Apache-2.0 */
/* The channels between roles: who has one to whom, and a new one for two that lost theirs. */
#pragma once

#include "supervisor_state.h"

/* Every channel of a new process; also to retired ones, as what they have in flight still needs a
 * queue and a resolver. */
void links_make(struct process *process);
/* A process says that its channel to that worker has ended. Nearly always the other one has just
 * died; where both live on they get a new one, and both tell of it. */
void links_lost(struct process *process, uint32_t lost_worker);
void links_clear(struct supervisor *supervisor);
