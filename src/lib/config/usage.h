/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names that are set are used by somebody: parameters, those of a transport in master.cf,
 * restriction classes, settings of tables, and names that some value refers to.
 */
#pragma once

#include "config/config.h"

struct config_usage;

/* The source must outlive it. */
struct config_usage *config_usage_new(const struct config_source *source);
void config_usage_free(struct config_usage **usage);
bool config_usage_has(const struct config_usage *usage, struct str name);
/* The assignment that counts, as main_cf_find has it, but at once; NULL when there is none. */
const struct main_cf_assignment *config_usage_assignment(const struct config_usage *usage,
                                                         struct str name);
