/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fast_flush_domains: for which domains ETRN and postqueue -s start deliveries.
 */
#pragma once

#include "config/config.h"
#include "table/match_list.h"

/* NULL with `error` for an entry that cannot be. */
struct match_list *flush_domains_new(const struct config *config,
                                     void (*warning)(void *argument, const char *text),
                                     void *argument, struct error *error);
/* "example.com" or "[192.0.2.1]". */
bool flush_site_is_valid(struct str site);
