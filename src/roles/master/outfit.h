/* SPDX-License-Identifier: Apache-2.0 */
/* What a new process is given by the supervisor before it starts, beside its channels (links.h). */
#pragma once

#include "supervisor_state.h"

void outfit_send_configuration(struct process *process);
/* All of it: the configuration, its service's secrets and places, its listening sockets. */
void outfit_send(struct process *process);
