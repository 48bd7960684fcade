/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address look-ups as canonical(5), virtual(5), generic(5) and transport(5) describe them: which
 * keys are tried for an address, in which order, and what the value makes of it. Pure but for the
 * tables, which are asked here.
 */
#pragma once

#include "mail/extension.h"
#include "mail/rewrite.h"
#include "table/match_list.h"
#include "table/table_list.h"

/* What all look-ups of one service share. Borrowed by every call. */
struct address_map_rules {
    struct rewrite_rules rewrite; /* completes the addresses that tables name */
    struct extension_rules extensions;
    /* Whether a bare user as key stands for users of this domain. */
    enum match_outcome (*is_local)(const void *argument, struct str domain, struct error *error);
    const void *argument;
};

/* Which keys are tried, in this order. */
enum address_key {
    ADDRESS_KEY_WHOLE = 1,             /* user+extension@domain */
    ADDRESS_KEY_WITHOUT_EXTENSION = 2, /* user@domain */
    ADDRESS_KEY_USER_IF_LOCAL = 4,     /* user+extension, user: where the domain is local */
    ADDRESS_KEY_AT_DOMAIN = 8,         /* @domain */
    ADDRESS_KEY_DOMAIN = 16,           /* domain */
    ADDRESS_KEY_DOT_PARENTS = 32,      /* .parent, with every parent of the domain */
    ADDRESS_KEY_PARENTS = 64,          /* parent, the same without the dot */
    ADDRESS_KEYS_USUAL = 15,
};

struct address_match {
    struct str value;     /* in the arena */
    struct str extension; /* of the address, where the key was without it: "+extension" */
    bool is_user_missing; /* the key was @domain or less */
};

/* `address` in internal form. Each key is tried in external form first, then, where that differs,
 * in internal form. */
enum lookup_outcome address_map_find(const struct address_map_rules *rules,
                                     struct table_list *tables, struct str address, unsigned keys,
                                     struct arena *arena, struct address_match *match,
                                     struct error *error);

/* What an address becomes: the addresses of the value, complete, in internal form. A value
 * "@other" keeps the user. The count is at least one where something is found; a value with no
 * address in it is LOOKUP_FAILED. */
struct address_results {
    struct str *addresses;
    size_t count;
};
enum lookup_outcome address_map_apply(const struct address_map_rules *rules,
                                      struct table_list *tables, struct str address,
                                      bool propagates_extension, struct arena *arena,
                                      struct address_results *results, struct error *error);
