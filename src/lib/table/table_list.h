/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables that one parameter names ("canonical_maps = hash:/a, inline:{ b=c }"), searched in
 * their order. Belongs to the role that opened it; opened before the role is confined.
 */
#pragma once

#include "base/log.h"
#include "table/table.h"

struct table_list;

/* `name` is the parameter's, for messages. A table that does not open is warned of and makes the
 * look-ups that reach it fail; unless `old` (NULL: none), the list that this one will replace, has
 * it open: a confined role cannot open its files again, and goes on with what it has. Never NULL; a
 * list may be empty. */
struct table_list *table_list_new(struct str name, struct str text,
                                  const struct table_options *options, struct table_list *old);
void table_list_free(struct table_list **list);
bool table_list_is_empty(const struct table_list *list);
struct str table_list_name(const struct table_list *list);

/* A part of what is looked for, such as "@example.com" of an address: patterns and the like are
 * not asked about it, as the whole was already put to them. */
enum key_kind { KEY_WHOLE, KEY_PART };

/* The first table that has the key; a table that fails ends the search. An empty value is a
 * failure, as it is in Postfix. The value lives in the arena. */
enum lookup_outcome table_list_find(struct table_list *list, struct str key, enum key_kind kind,
                                    struct arena *arena, struct str *value, struct error *error);
/* The same of the whole key, for those who go on without the table: a failure is a warning. `list`
 * may be NULL: it is empty. */
enum lookup_outcome table_list_find_or_warn(struct table_list *list, struct str key,
                                            struct arena *arena, struct str *value,
                                            const struct log_context *log);
