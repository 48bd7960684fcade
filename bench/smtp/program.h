/* SPDX-License-Identifier: Apache-2.0 */
/* What both ends of the benchmark do as programs: how they fail, are signalled, and count time. */
#pragma once

#include "base/error.h"

/* "bench-load: what: error"; `error` may be NULL. Status 1. */
_Noreturn void die(const char *what, const struct error *error);
_Noreturn void die_errno(const char *what);

/* All the descriptors that there may be. A descriptor that is readable when somebody wants the end
 * (SIGTERM, SIGINT) or a report (SIGUSR1). */
int program_open(void);
/* Takes the signals that have come. `report`: how far is it? False: it is to end. */
bool program_take_signals(int signal_fd, void (*report)(void *argument), void *argument);
/* Processor time of this process. */
double program_cpu_us(void);
