/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One running role: this same program, executed again with a fresh address space, its control
 * channel as descriptor 3 and the log socket as descriptor 4, and nothing else inherited.
 */
#pragma once

#include "base/error.h"

#include <sys/types.h>

struct process_needs {
    const char *role;
    const char *const *environment; /* service/environment.h */
    int log_fd;
};

/* Starts `waypost role NAME`. On success `*control_fd` is the master's end. */
must_check bool process_start(const struct process_needs *needs, pid_t *pid, int *control_fd,
                              struct error *error);
