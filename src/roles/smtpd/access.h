/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access tables (access(5)): the keys of a name, an address or a mail address in Postfix's order,
 * and what their results do.
 */
#pragma once

#include "rule.h"

/* One look-up: in what, about whom, and what came of it. */
struct access {
    struct lookup_map *map;
    struct str table; /* for messages */
    struct str reply_name;
    const char *reply_class;
    enum rule_outcome outcome; /* once something was found */
};

/* True: found (or the table failed), and `outcome` says what the result did. */
bool access_find_key(struct check *check, struct access *access, struct str key);
/* A domain name and its parents. */
bool access_find_domain(struct check *check, struct access *access, struct str domain);
/* An IP address and the networks around it. */
bool access_find_address(struct check *check, struct access *access, struct str address);
/* A mail address in rewritten form: it, without its extension, its domain and parents, user@. */
bool access_find_mail(struct check *check, struct access *access, struct str address);

/* Does what a table or a policy server said. */
enum rule_outcome access_act(struct check *check, const struct access *access, struct str value,
                             struct str key);
