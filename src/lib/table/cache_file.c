/* SPDX-License-Identifier: Apache-2.0 */
#include "table/cache_file.h"

#include "base/map.h"
#include "base/memory.h"
#include "table/lmdb_file.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct cache_file {
    struct lmdb_file file; /* closed: in memory alone */
    struct map *changes;   /* struct value by key: newer than the file */
    const char *path;
    struct arena arena;
};

struct value {
    bool is_on_disk; /* nothing to write: its key does not fit the file */
    size_t len;
    char bytes[];
};

static bool has_file(const struct cache_file *cache)
{
    return cache->file.env != NULL;
}

static bool open_file(struct cache_file *cache, struct error *error)
{
    struct error first = { 0 };
    const char *aside = arena_printf(&cache->arena, "%s.bad", cache->path);

    if (lmdb_file_open(&cache->file, cache->path, LMDB_FILE_CACHE, &first))
        return true;
    lmdb_file_close(&cache->file);
    *error = first;
    if (access(cache->path, F_OK) != 0 || rename(cache->path, aside) != 0)
        return false;
    if (!lmdb_file_open(&cache->file, cache->path, LMDB_FILE_CACHE, error)) {
        lmdb_file_close(&cache->file);
        return false;
    }
    error_set(error, "%s; moved it to %s and began a new one", first.message, aside);
    return true;
}

struct cache_file *cache_file_open(const char *path, struct error *error)
{
    struct cache_file *cache = memory_new(sizeof *cache);

    cache->file = LMDB_FILE_CLOSED;
    cache->changes = map_new();
    if (path == NULL)
        return cache;
    cache->path = arena_text(&cache->arena, str_from(path));
    if (!open_file(cache, error))
        cache_file_free(&cache);
    return cache;
}

static void forget_changes(struct cache_file *cache)
{
    struct map_cursor cursor = { 0 };

    while (map_next(cache->changes, &cursor))
        memory_free(cursor.value);
    map_free(&cache->changes);
}

void cache_file_free(struct cache_file **cache)
{
    if (*cache == NULL)
        return;
    forget_changes(*cache);
    lmdb_file_close(&(*cache)->file);
    arena_clear(&(*cache)->arena);
    memory_free(*cache);
    *cache = NULL;
}

static struct str str_from_mdb(MDB_val value)
{
    return str_of(value.mv_data, value.mv_size);
}

/* LMDB takes pointers to what it does not change. */
static MDB_val mdb_from_str(struct str text)
{
    union {
        const char *text;
        void *bytes;
    } pointer = { .text = text.ptr };

    return (MDB_val){ .mv_size = text.len, .mv_data = pointer.bytes };
}

bool cache_file_find(const struct cache_file *cache, struct arena *arena, struct str key,
                     struct str *value)
{
    const struct value *change = map_find(cache->changes, key);
    MDB_val wanted = mdb_from_str(key), found;
    MDB_txn *transaction;

    if (change != NULL) {
        *value = arena_copy(arena, str_of(change->bytes, change->len));
        return true;
    }
    if (!has_file(cache) || key.len == 0 || key.len > LMDB_FILE_KEY_BYTES_MAX ||
        mdb_txn_begin(cache->file.env, NULL, MDB_RDONLY, &transaction) != 0)
        return false;
    bool is_found = mdb_get(transaction, cache->file.database, &wanted, &found) == 0;
    if (is_found)
        *value = arena_copy(arena, str_from_mdb(found));
    mdb_txn_abort(transaction);
    return is_found;
}

void cache_file_put(struct cache_file *cache, struct str key, struct str value)
{
    struct value *change = memory_new(sizeof *change + value.len);

    change->len = value.len;
    change->is_on_disk = !has_file(cache) || key.len == 0 || key.len > LMDB_FILE_KEY_BYTES_MAX;
    memcpy(change->bytes, value.ptr, value.len);
    memory_free(map_set(cache->changes, key, change));
}

bool cache_file_is_dirty(const struct cache_file *cache)
{
    return has_file(cache) && map_count(cache->changes) > 0;
}

static int put_changes(struct cache_file *cache, MDB_txn *transaction)
{
    struct map_cursor cursor = { 0 };
    int code = 0;

    while (code == 0 && map_next(cache->changes, &cursor)) {
        const struct value *change = cursor.value;
        MDB_val key = mdb_from_str(cursor.key);
        MDB_val value = mdb_from_str(str_of(change->bytes, change->len));
        if (!change->is_on_disk)
            code = mdb_put(transaction, cache->file.database, &key, &value, 0);
    }
    return code;
}

/* Those whose keys do not fit the file stay, so they are few: keys are mail addresses. */
static void drop_written(struct cache_file *cache)
{
    struct map *kept = map_new();
    struct map_cursor cursor = { 0 };

    while (map_next(cache->changes, &cursor)) {
        struct value *change = cursor.value;
        if (change->is_on_disk)
            map_set(kept, cursor.key, change);
        else
            memory_free(change);
    }
    map_free(&cache->changes);
    cache->changes = kept;
}

bool cache_file_write(struct cache_file *cache, struct error *error)
{
    MDB_txn *transaction;
    int code;

    if (!cache_file_is_dirty(cache))
        return true;
    code = mdb_txn_begin(cache->file.env, NULL, 0, &transaction);
    if (code == 0) {
        code = put_changes(cache, transaction);
        if (code == 0)
            code = mdb_txn_commit(transaction);
        else
            mdb_txn_abort(transaction);
    }
    if (code != 0)
        return error_set(error, "write %s: %s", cache->path, mdb_strerror(code));
    drop_written(cache);
    return true;
}

static int sweep_file(struct cache_file *cache, struct cache_file_sweep *sweep)
{
    MDB_txn *transaction;
    MDB_cursor *cursor;
    MDB_val key, value;
    int code = mdb_txn_begin(cache->file.env, NULL, 0, &transaction);

    if (code != 0)
        return code;
    code = mdb_cursor_open(transaction, cache->file.database, &cursor);
    if (code == 0) {
        while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
            if (!sweep->is_old(sweep->argument, str_from_mdb(key), str_from_mdb(value))) {
                sweep->kept++;
                continue;
            }
            if ((code = mdb_cursor_del(cursor, 0)) != 0)
                break;
            sweep->removed++;
        }
        mdb_cursor_close(cursor);
    }
    if (code == MDB_NOTFOUND)
        return mdb_txn_commit(transaction);
    mdb_txn_abort(transaction);
    return code;
}

static void sweep_memory(struct cache_file *cache, struct cache_file_sweep *sweep)
{
    struct map *kept = map_new();
    struct map_cursor cursor = { 0 };

    while (map_next(cache->changes, &cursor)) {
        struct value *change = cursor.value;
        if (sweep->is_old(sweep->argument, cursor.key, str_of(change->bytes, change->len))) {
            memory_free(change);
            sweep->removed++;
        } else {
            map_set(kept, cursor.key, change);
            sweep->kept++;
        }
    }
    map_free(&cache->changes);
    cache->changes = kept;
}

bool cache_file_sweep(struct cache_file *cache, struct cache_file_sweep *sweep, struct error *error)
{
    if (!cache_file_write(cache, error))
        return false;
    sweep_memory(cache, sweep);
    int code = has_file(cache) ? sweep_file(cache, sweep) : 0;
    return code == 0 || error_set(error, "sweep %s: %s", cache->path, mdb_strerror(code));
}
