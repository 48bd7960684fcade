/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache that outlives its process: keys and values in one LMDB file, which one process at a time
 * has open. Changes gather in memory and are there for look-ups at once; cache_file_write puts them
 * on disk in one transaction, synced: a crash loses what was not written, and nothing else. What is
 * in the file comes from outside this process's life: callers validate values.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct cache_file;

/* Opens or creates `path`; NULL is a cache in memory alone. A file that is no database is moved
 * aside, to `path` with ".bad" behind it, and a new one is begun; `error` then says so and the
 * result is good. NULL with `error` where there can be no file. */
struct cache_file *cache_file_open(const char *path, struct error *error);
/* Does not write. */
void cache_file_free(struct cache_file **cache);

/* False: there is none. The value is copied. Keys longer than the file can hold stay in memory. */
bool cache_file_find(const struct cache_file *cache, struct arena *arena, struct str key,
                     struct str *value);
void cache_file_put(struct cache_file *cache, struct str key, struct str value);
/* Whether there is something to write. */
bool cache_file_is_dirty(const struct cache_file *cache);
/* The changes so far go to the disk; where that fails they stay in memory, to be written later. */
must_check bool cache_file_write(struct cache_file *cache, struct error *error);
/* Removes all that `is_old` says of; how many went, and how many stay. */
struct cache_file_sweep {
    bool (*is_old)(void *argument, struct str key, struct str value);
    void *argument;
    size_t removed, kept;
};
must_check bool cache_file_sweep(struct cache_file *cache, struct cache_file_sweep *sweep,
                                 struct error *error);
