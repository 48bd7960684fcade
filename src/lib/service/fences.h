/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's fences around a process: Landlock for files, seccomp for system calls. Private to
 * the confinement; meson picks the file that implements them.
 */
#pragma once

#include "service/confinement.h"

/* Whether this build leaves the process open to debuggers (sanitizers are such). */
bool fences_need_dumpable(void);
/* `paths` (ended by NULL) may be read and written, `readable` (the same; those that are there)
 * read, nothing else of the file system. False with `error` where the kernel has no Landlock: the
 * caller says so and goes on. */
must_check bool fences_files(const char *const *paths, const char *const *readable,
                             struct error *error);
must_check bool fences_system_calls(unsigned rights, bool has_files, struct error *error);
