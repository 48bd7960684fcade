/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address rewriting to standard form, as Postfix's trivial-rewrite does it to envelope addresses
 * before anything looks them up: what has no domain gets one. Pure.
 */
#pragma once

#include "base/arena.h"
#include "config/config.h"

struct rewrite_rules {
    struct str myorigin; /* expanded; a leading '/' was read by the configuration */
    struct str mydomain;
    bool may_append_myorigin; /* append_at_myorigin */
    bool may_append_mydomain; /* append_dot_mydomain */
    bool may_swap_bangpath;   /* swap_bangpath: host!user without '@' is user@host */
    bool has_percent_hack;    /* allow_percent_hack: user%host without '@' is user@host */
};

/* Internal form in and out; canonical (address_normalise). The null sender stays empty. The result
 * lives in the arena or is `address` itself. */
struct str rewrite_address(struct arena *arena, const struct rewrite_rules *rules,
                           struct str address);
/* The same, but not canonical: for headers, which keep the case they came with. */
struct str rewrite_as_written(struct arena *arena, const struct rewrite_rules *rules,
                              struct str address);
/* append_at_myorigin and so on, of a configuration. Borrows its strings. */
struct rewrite_rules rewrite_rules_from(const struct config *config);
