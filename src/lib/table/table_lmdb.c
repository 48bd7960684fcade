/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash:, btree: and lmdb: tables: one LMDB file, FILE.lmdb, for all three names. Postfix's own
 * lmdb: files are read too: it writes in place under an fcntl lock, and keys and values end with a
 * NUL (ours do as well).
 */
#include "base/file.h"
#include "table/lmdb_file.h"
#include "table/table_type.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_ATTEMPTS = 50, LOCK_PAUSE_NS = 1000000 };

struct lmdb_table {
    struct lmdb_file file;
    const char *path;
    struct stat opened;
};

static bool error_lmdb(struct error *error, const struct table *table, int code)
{
    return error_set(error, "%.*s: %s", STR_ARGS(table->specification), mdb_strerror(code));
}

static bool error_short(struct error *error, const struct table *table)
{
    const struct lmdb_table *lmdb = table->state;

    return error_set(error, "%s is cut short: run \"postmap %.*s\"", lmdb->path,
                     STR_ARGS(table->specification));
}

/* A file that is shorter than it was, or than its own account of itself, would be a bus error as
 * soon as LMDB looks at the missing part. */
static bool check_size(const struct table *table, struct error *error)
{
    struct lmdb_table *lmdb = table->state;
    MDB_envinfo info;
    MDB_stat stat;
    struct stat now;

    if (fstat(lmdb->file.fd, &now) != 0)
        return error_errno(error, "%s", lmdb->path);
    if (now.st_size < lmdb->opened.st_size)
        return error_short(error, table);
    mdb_env_info(lmdb->file.env, &info);
    mdb_env_stat(lmdb->file.env, &stat);
    if ((uint64_t)now.st_size < ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize)
        return error_short(error, table);
    return true;
}

static bool open_file(struct table *table, struct error *error)
{
    struct lmdb_table *lmdb = table->state;

    if (stat(lmdb->path, &lmdb->opened) != 0)
        return error_errno(error, "open database %s", lmdb->path);
    if (lmdb->opened.st_size < LMDB_FILE_BYTES_MIN)
        return error_short(error, table);
    if (!lmdb_file_open(&lmdb->file, lmdb->path, LMDB_FILE_READ, error) ||
        !check_size(table, error))
        return false;
    if ((lmdb->opened.st_mode & S_IWOTH) != 0)
        table_warn(table, "%s can be written by everybody: run \"chmod o-w\" on it", lmdb->path);
    table_warn_of_age(table, lmdb->path);
    return true;
}

/* Berkeley DB's file is there, which we cannot read; its source serves in its place. */
static bool open_source(struct table *table, const char *old_path, struct error *error)
{
    if (access(table->name, R_OK) != 0)
        return error_set(error,
                         "%s is a Berkeley DB file, and the source %s that it was made from is "
                         "missing: write it and run \"postmap %.*s\"",
                         old_path, table->name, STR_ARGS(table->specification));
    table_warn(table,
               "%s is a Berkeley DB file: using its source %s instead; run \"postmap %.*s\" to "
               "build the table anew",
               old_path, table->name, STR_ARGS(table->specification));
    table->type = &table_type_texthash;
    return table_load_source(table, table->name, error);
}

static bool lmdb_open(struct table *table, struct error *error)
{
    struct lmdb_table *lmdb = arena_new(&table->arena, sizeof *lmdb);
    const char *old_path = arena_printf(&table->arena, "%s.db", table->name);

    lmdb->file = LMDB_FILE_CLOSED;
    lmdb->path = arena_printf(&table->arena, "%s" LMDB_FILE_SUFFIX, table->name);
    table->state = lmdb;
    if (access(lmdb->path, F_OK) == 0 || errno != ENOENT)
        return open_file(table, error);
    if (access(old_path, F_OK) == 0) {
        table->state = NULL;
        return open_source(table, old_path, error);
    }
    errno = ENOENT;
    error_errno(error, "open database %s", lmdb->path);
    if (access(table->name, F_OK) == 0)
        return error_context(error, "run \"postmap %.*s\"", STR_ARGS(table->specification));
    return false;
}

static void lmdb_close(struct table *table)
{
    struct lmdb_table *lmdb = table->state;

    if (lmdb != NULL)
        lmdb_file_close(&lmdb->file);
}

static bool lmdb_is_stale(const struct table *table)
{
    const struct lmdb_table *lmdb = table->state;
    struct stat now;

    return stat(lmdb->path, &now) != 0 || now.st_ino != lmdb->opened.st_ino ||
           now.st_dev != lmdb->opened.st_dev;
}

/* ---- look-ups ---- */

/* Postfix's postmap writes in place while it holds the lock; ours renames and needs none. */
static bool lock_shared(const struct lmdb_table *lmdb, struct error *error)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };

    for (int i = 0; i < LOCK_ATTEMPTS; i++) {
        if (fcntl(lmdb->file.fd, F_SETLK, &lock) == 0)
            return true;
        if (errno != EACCES && errno != EAGAIN && errno != EINTR)
            return error_errno(error, "lock %s", lmdb->path);
        nanosleep(&pause, NULL);
    }
    return error_set(error, "%s: another program is writing it and holds its lock", lmdb->path);
}

static void unlock(const struct lmdb_table *lmdb)
{
    struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

    (void)fcntl(lmdb->file.fd, F_SETLK, &lock);
}

/* Begins a read; NULL with `error` when that cannot be. End it with end_read. */
static MDB_txn *begin_read(struct table *table, struct error *error)
{
    struct lmdb_table *lmdb = table->state;
    MDB_txn *transaction = NULL;

    if (!lock_shared(lmdb, error))
        return NULL;
    int code = check_size(table, error)
                   ? mdb_txn_begin(lmdb->file.env, NULL, MDB_RDONLY, &transaction)
                   : MDB_CORRUPTED;
    if (code == 0)
        return transaction;
    error_lmdb(error, table, code);
    unlock(lmdb);
    return NULL;
}

static void end_read(struct table *table, MDB_txn *transaction)
{
    mdb_txn_abort(transaction);
    unlock(table->state);
}

static struct str without_nul(MDB_val bytes)
{
    struct str text = { bytes.mv_data, bytes.mv_size };

    if (text.len > 0 && text.ptr[text.len - 1] == '\0')
        text.len--;
    return text;
}

static enum lookup_outcome lmdb_find(struct table *table, struct str key, struct arena *arena,
                                     struct str *value, struct error *error)
{
    struct lmdb_table *lmdb = table->state;
    char *text = arena_new(arena, key.len + 1); /* ends with a NUL, as most keys do */
    MDB_val wanted, found;

    if (key.len + 1 > LMDB_FILE_KEY_BYTES_MAX)
        return LOOKUP_ABSENT;
    for (size_t i = 0; i < key.len; i++)
        text[i] = table->options.keeps_case ? key.ptr[i] : ascii_lower(key.ptr[i]);
    MDB_txn *transaction = begin_read(table, error);
    if (transaction == NULL)
        return LOOKUP_FAILED;
    wanted = (MDB_val){ key.len + 1, text };
    int code = mdb_get(transaction, lmdb->file.database, &wanted, &found);
    if (code == MDB_NOTFOUND && key.len > 0) {
        wanted = (MDB_val){ key.len, text };
        code = mdb_get(transaction, lmdb->file.database, &wanted, &found);
    }
    if (code == 0)
        *value = arena_copy(arena, without_nul(found));
    end_read(table, transaction);
    if (code != 0 && code != MDB_NOTFOUND)
        error_lmdb(error, table, code);
    return code == 0 ? LOOKUP_FOUND : code == MDB_NOTFOUND ? LOOKUP_ABSENT : LOOKUP_FAILED;
}

static int step(MDB_txn *transaction, MDB_dbi database, struct str previous, MDB_val *key,
                MDB_val *value)
{
    char text[LMDB_FILE_KEY_BYTES_MAX] = { 0 };
    MDB_cursor *cursor;
    int code = mdb_cursor_open(transaction, database, &cursor);

    if (code != 0)
        return code;
    if (previous.len >= sizeof text)
        previous.len = sizeof text - 1;
    if (previous.len > 0)
        memcpy(text, previous.ptr, previous.len);
    *key = (MDB_val){ previous.len + 1, text };
    code = mdb_cursor_get(cursor, key, value, previous.len == 0 ? MDB_FIRST : MDB_SET_RANGE);
    if (code == 0 && previous.len > 0 && str_equal(without_nul(*key), previous))
        code = mdb_cursor_get(cursor, key, value, MDB_NEXT);
    mdb_cursor_close(cursor);
    return code;
}

static enum lookup_outcome lmdb_next(struct table *table, struct arena *arena, struct str *key,
                                     struct str *value, struct error *error)
{
    struct lmdb_table *lmdb = table->state;
    MDB_val found_key, found_value;
    MDB_txn *transaction = begin_read(table, error);

    if (transaction == NULL)
        return LOOKUP_FAILED;
    int code = step(transaction, lmdb->file.database, *key, &found_key, &found_value);
    if (code == 0) {
        *key = arena_copy(arena, without_nul(found_key));
        *value = arena_copy(arena, without_nul(found_value));
    }
    end_read(table, transaction);
    if (code != 0 && code != MDB_NOTFOUND)
        error_lmdb(error, table, code);
    return code == 0 ? LOOKUP_FOUND : code == MDB_NOTFOUND ? LOOKUP_ABSENT : LOOKUP_FAILED;
}

#define LMDB_TYPE(type_name)                                                                       \
    {                                                                                              \
        .name = type_name, .open = lmdb_open, .find = lmdb_find, .close = lmdb_close,              \
        .is_stale = lmdb_is_stale, .next = lmdb_next                                               \
    }
const struct table_type table_type_hash = LMDB_TYPE("hash");
const struct table_type table_type_btree = LMDB_TYPE("btree");
const struct table_type table_type_lmdb = LMDB_TYPE("lmdb");
