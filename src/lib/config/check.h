/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be said of a configuration before any value is looked at: names nobody knows, names we
 * know and do not honour yet, names that have gone, lines that do not count.
 */
#pragma once

#include "config/config.h"

/* All of the following. */
void config_check_names(const struct config_source *source,
                        void (*warning)(void *argument, const char *text), void *argument);
/* Lines that do not count: without a name, or overridden by a later one. */
void config_check_lines(const struct config_source *source,
                        void (*warning)(void *argument, const char *text), void *argument);
/* Names that nobody uses. */
void config_check_unused(const struct config_source *source,
                         void (*warning)(void *argument, const char *text), void *argument);
/* Names that are used and yet do not do all that is expected of them. */
void config_check_honoured(const struct config_source *source,
                           void (*warning)(void *argument, const char *text), void *argument);
