/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look-up table as the restrictions and recipient checks use it: what it is, and the keys of an
 * address in Postfix's order. Opened before the role is confined; one table for each specification,
 * shared by all that name it.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "table/table.h"

struct lookup_map;
struct lookup_maps; /* all of a policy */

struct lookup_maps *lookup_maps_new(void (*warning)(void *argument, const char *text),
                                    void *argument);
void lookup_maps_free(struct lookup_maps **maps);

/* Opens "type:table", or gives the one that is open. One that does not open is reported as a
 * warning, and every look-up in it fails: the rest of the mail goes on. */
struct lookup_map *lookup_maps_open(struct lookup_maps *maps, struct str specification);

enum lookup_outcome lookup_map_find(struct lookup_map *map, struct arena *arena, struct str key,
                                    struct str *value);
/* Whether parts of a name may be asked for (Postfix's partial keys): not of pattern tables. */
bool lookup_map_has_parts(const struct lookup_map *map);
struct str lookup_map_name(const struct lookup_map *map);

/* A list of them, as in local_recipient_maps: asked in turn. */
struct lookup_chain {
    struct lookup_map **maps;
    size_t count;
};
void lookup_chain_open(struct lookup_chain *chain, struct arena *arena, struct lookup_maps *maps,
                       struct str specifications);
enum lookup_outcome lookup_chain_find(const struct lookup_chain *chain, struct arena *arena,
                                      struct str key, bool is_part, struct str *value);

/* Postfix's mail_addr_find: user+ext@domain, user@domain, then (where the domain is ours) user+ext
 * and user, then @domain. */
struct address_rules {
    struct str delimiters;  /* recipient_delimiter */
    bool is_local;          /* the domain is myorigin or in mydestination */
    bool has_owner_request; /* owner-list and list-request are no extensions */
};
enum lookup_outcome lookup_chain_find_address(const struct lookup_chain *chain, struct arena *arena,
                                              struct str address, const struct address_rules *rules,
                                              struct str *value);
/* "user" of "user+ext@domain" with the domain; empty where there is no extension. */
struct str address_without_extension(struct arena *arena, struct str address,
                                     const struct address_rules *rules);
