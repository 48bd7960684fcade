/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables that restrictions name, one for each specification, shared by all rules that name it.
 * Opened before the role is confined.
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
