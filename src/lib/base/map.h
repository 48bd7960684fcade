/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map from byte strings to pointers. It copies the keys and does not own the values. The
 * hash is seeded per process, so a peer cannot choose keys that collide. One owner, one thread.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

struct map;

struct map *map_new(void);
void map_free(struct map **map);

/* The value, or NULL. */
void *map_find(const struct map *map, struct str key);
/* Adds or replaces; returns the value that was there, or NULL. `value` may not be NULL. */
void *map_set(struct map *map, struct str key, void *value);
/* Returns the value that was there, or NULL. */
void *map_remove(struct map *map, struct str key);
size_t map_count(const struct map *map);

/* Visits every entry in no particular order; the map may not change meanwhile. */
struct map_cursor {
    size_t slot;
    struct str key;
    void *value;
};
/* Start with { 0 }; false at the end. */
bool map_next(const struct map *map, struct map_cursor *cursor);

/* The map's own hash, for other tables keyed by outside bytes. */
uint64_t map_hash(struct str key);
