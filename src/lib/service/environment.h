/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Environment variables as import_environment and export_environment list them: names, NAME=value,
 * and "{ NAME=value }" where the value has blanks or commas.
 */
#pragma once

#include "base/arena.h"
#include "config/config.h"

/* The next entry of a list, without its braces. False: none is left. */
bool environment_next(struct str *list, struct str *word);
/* What the master's children are given: "NAME=value" each, ended by NULL, in the arena. A path,
 * settings of the C library's memory, what import_environment takes over or sets, and the options
 * of sanitizer builds. */
const char *const *environment_import(struct arena *arena, const struct config *config);
/* Sets what import_environment has a value for, in this process. */
void environment_enforce(const struct config *config);
