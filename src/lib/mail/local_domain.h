/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which domains are this machine's own ("local" in Postfix's sense): mydestination, and address
 * literals of our addresses. Made before a role is confined; immutable.
 */
#pragma once

#include "config/config.h"
#include "net/own_addresses.h"
#include "table/match_list.h"

struct local_domains;

/* Borrows the configuration and `own` (NULL: no literals). NULL with `error` for a list that
 * cannot be read. */
struct local_domains *local_domains_new(const struct config *config,
                                        const struct own_addresses *own,
                                        const struct match_list_options *hearer,
                                        struct error *error);
void local_domains_free(struct local_domains **domains);

enum match_outcome local_domains_find(const struct local_domains *domains, struct str domain,
                                      struct error *error);
/* The same, and $myorigin is local too: where a bare user in a table stands for user@domain. */
enum match_outcome local_domains_find_origin(const struct local_domains *domains, struct str domain,
                                             struct error *error);

/* Whether a literal ("[192.0.2.1]", "[IPv6:2001:db8::1]") is one of our addresses. */
bool literal_is_own(const struct own_addresses *own, struct str domain);
