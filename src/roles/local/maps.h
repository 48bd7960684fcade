/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables that one parameter names, asked in their order. A table whose file changes is opened
 * anew at the next look-up. The role's own.
 * Patterns take no part of the key into their values, and servers are not asked: what these tables
 * say is run with a user's rights.
 */
#pragma once

#include "base/log.h"
#include "table/table_list.h"

#include <sys/types.h>

struct maps;

/* Never NULL: a table that does not open fails its look-ups, and is warned of. */
struct maps *maps_new(const char *parameter, struct str text, const struct log_context *log);
void maps_free(struct maps **maps);
bool maps_are_empty(const struct maps *maps);

/* `owner` (may be NULL): whom the file belongs to in which the value was; 0 where it is none. */
enum lookup_outcome maps_find(struct maps *maps, struct str key, struct arena *arena,
                              struct str *value, uid_t *owner);
/* The same for a part of what was looked up: patterns are not asked again. */
enum lookup_outcome maps_find_part(struct maps *maps, struct str key, struct arena *arena,
                                   struct str *value);
