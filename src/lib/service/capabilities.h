/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left of the superuser's rights in a process that has to stay root (capabilities(7)).
 */
#pragma once

#include "base/error.h"

#include <linux/capability.h>
#include <stddef.h>

struct capabilities {
    const unsigned *kept; /* CAP_… of this process, and of programs that it starts as root */
    size_t kept_count;
    const unsigned *bounding; /* beyond these, what a set-user-id program below it may have */
    size_t bounding_count;
};

/* Gives up all others, for good. Only where the effective user is root. */
must_check bool capabilities_keep(const struct capabilities *capabilities, struct error *error);
