/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtual_alias_maps: one recipient becomes many, again and again until no table knows what is
 * left. Bounded by virtual_alias_expansion_limit, _recursion_limit and _address_length_limit.
 */
#pragma once

#include "mail/address_map.h"

struct alias_limits {
    size_t addresses; /* of one recipient */
    size_t nesting;   /* look-ups in a row */
    size_t address_bytes;
};

enum alias_outcome {
    ALIAS_DONE,
    ALIAS_FAILED,    /* a table cannot answer */
    ALIAS_UNBOUNDED, /* beyond a limit */
};

struct alias_expansion {
    const struct address_map_rules *rules;
    struct table_list *tables;
    bool propagates_extension;
    struct alias_limits limits;
};

/* The results may name an address twice. Other outcomes than ALIAS_DONE fill `error`. */
enum alias_outcome alias_expand(const struct alias_expansion *expansion, struct str address,
                                struct arena *arena, struct address_results *results,
                                struct error *error);
