/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_builder.h"

#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "table/cdb_file.h"
#include "table/lmdb_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ADDITIONS_PER_TRANSACTION = 20000, COPY_BYTES = 65536 };

/* A cdb file cannot be changed, so it is not known to it what it has already. */
struct cdb_draft {
    struct cdb_writer *writer; /* NULL: an LMDB file is built */
    struct map *keys;
};

struct table_builder {
    struct arena arena;
    struct table_builder_options options;
    const char *path;
    const char *draft_path; /* NULL once it is in place */
    struct lmdb_file file;
    MDB_txn *transaction;
    unsigned additions; /* in the transaction */
    struct cdb_draft cdb;
};

/* ---- set-up ---- */

static bool copy_file(const char *from, const char *to, struct error *error)
{
    autoclose int in = open(from, O_RDONLY | O_CLOEXEC);
    autoclose int out = -1;
    char bytes[COPY_BYTES];
    ssize_t count;

    if (in < 0)
        return access(from, F_OK) != 0 || error_errno(error, "open %s", from);
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return error_errno(error, "create %s", to);
    while ((count = read(in, bytes, sizeof bytes)) > 0)
        if (!fd_write_all(out, (struct str){ bytes, (size_t)count }, to, error))
            return false;
    return count == 0 || error_errno(error, "read %s", from);
}

static bool begin(struct table_builder *builder, struct error *error)
{
    int code = mdb_txn_begin(builder->file.env, NULL, 0, &builder->transaction);

    builder->additions = 0;
    return code == 0 || error_set(error, "%s: %s", builder->draft_path, mdb_strerror(code));
}

static bool commit(struct table_builder *builder, struct error *error)
{
    int code = mdb_txn_commit(builder->transaction);

    builder->transaction = NULL;
    return code == 0 || error_set(error, "%s: %s", builder->draft_path, mdb_strerror(code));
}

static bool is_buildable(struct str type)
{
    return str_equal(type, STR("hash")) || str_equal(type, STR("btree")) ||
           str_equal(type, STR("lmdb")) || str_equal(type, STR("cdb"));
}

static bool open_cdb(struct table_builder *builder, struct error *error)
{
    if (builder->options.is_incremental)
        return error_set(error,
                         "cdb files cannot be changed, only built anew: leave out -i and -d");
    builder->cdb.keys = map_new();
    builder->cdb.writer = cdb_writer_new(builder->draft_path, error);
    return builder->cdb.writer != NULL;
}

static bool open_lmdb(struct table_builder *builder, struct error *error)
{
    return (!builder->options.is_incremental ||
            copy_file(builder->path, builder->draft_path, error)) &&
           lmdb_file_open(&builder->file, builder->draft_path, LMDB_FILE_WRITE, error) &&
           begin(builder, error);
}

struct table_builder *table_builder_new(struct str specification,
                                        const struct table_builder_options *options,
                                        struct error *error)
{
    struct str name = specification, type = str_cut(&name, ":");

    if (!is_buildable(type)) {
        error_set(error, "unsupported dictionary type: %.*s does not support bulk-mode creation.",
                  STR_ARGS(type));
        return NULL;
    }
    struct table_builder *builder = memory_new(sizeof *builder);
    builder->options = *options;
    builder->file = LMDB_FILE_CLOSED;
    bool is_cdb = str_equal(type, STR("cdb"));
    builder->path = arena_printf(&builder->arena, "%.*s%s", STR_ARGS(name),
                                 is_cdb ? CDB_FILE_SUFFIX : LMDB_FILE_SUFFIX);
    builder->draft_path = arena_printf(&builder->arena, "%s.%ld", builder->path, (long)getpid());
    unlink(builder->draft_path);
    if (is_cdb ? open_cdb(builder, error) : open_lmdb(builder, error))
        return builder;
    table_builder_free(&builder);
    return NULL;
}

void table_builder_free(struct table_builder **builder)
{
    if (*builder == NULL)
        return;
    if ((*builder)->transaction != NULL)
        mdb_txn_abort((*builder)->transaction);
    lmdb_file_close(&(*builder)->file);
    cdb_writer_free(&(*builder)->cdb.writer);
    if ((*builder)->cdb.keys != NULL)
        map_free(&(*builder)->cdb.keys);
    if ((*builder)->draft_path != NULL)
        unlink((*builder)->draft_path);
    arena_clear(&(*builder)->arena);
    memory_free(*builder);
    *builder = NULL;
}

const char *table_builder_path(const struct table_builder *builder)
{
    return builder->path;
}

/* ---- entries ---- */

/* With a NUL at the end, as Postfix's lmdb: tables have it. */
static MDB_val with_nul(struct arena *arena, struct str text, bool folds)
{
    char *copy = arena_new(arena, text.len + 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = folds ? ascii_lower(text.ptr[i]) : text.ptr[i];
    return (MDB_val){ text.len + 1, copy };
}

static enum table_addition add_to_cdb(struct table_builder *builder, MDB_val key, struct str value,
                                      struct error *error)
{
    struct str text = { key.mv_data, key.mv_size - 1 };

    if (map_set(builder->cdb.keys, text, builder) != NULL && !builder->options.may_replace)
        return TABLE_DUPLICATE;
    return cdb_writer_add(builder->cdb.writer, text, value, error) ? TABLE_ADDED : TABLE_ADD_FAILED;
}

enum table_addition table_builder_add(struct table_builder *builder, struct str key,
                                      struct str value, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    MDB_val key_bytes = with_nul(&scratch, key, !builder->options.keeps_case);
    MDB_val value_bytes = with_nul(&scratch, value, false);

    if (builder->cdb.writer != NULL)
        return add_to_cdb(builder, key_bytes, value, error);
    if (key_bytes.mv_size > LMDB_FILE_KEY_BYTES_MAX) {
        error_set(error, "the key \"%.40s…\" is longer than %d bytes", (char *)key_bytes.mv_data,
                  LMDB_FILE_KEY_BYTES_MAX - 1);
        return TABLE_ADD_FAILED;
    }
    if (builder->additions == ADDITIONS_PER_TRANSACTION &&
        !(commit(builder, error) && begin(builder, error)))
        return TABLE_ADD_FAILED;
    builder->additions++;
    int code = mdb_put(builder->transaction, builder->file.database, &key_bytes, &value_bytes,
                       builder->options.may_replace ? 0 : MDB_NOOVERWRITE);
    if (code == 0)
        return TABLE_ADDED;
    if (code == MDB_KEYEXIST)
        return TABLE_DUPLICATE;
    error_set(error, "%s: %s", builder->draft_path, mdb_strerror(code));
    return TABLE_ADD_FAILED;
}

bool table_builder_remove(struct table_builder *builder, struct str key)
{
    autoclear_arena struct arena scratch = { 0 };
    MDB_val bytes = with_nul(&scratch, key, !builder->options.keeps_case);
    bool was_there = mdb_del(builder->transaction, builder->file.database, &bytes, NULL) == 0;

    bytes.mv_size--; /* Postfix can write keys without the NUL */
    if (bytes.mv_size > 0)
        was_there |= mdb_del(builder->transaction, builder->file.database, &bytes, NULL) == 0;
    return was_there;
}

/* ---- into place ---- */

/* Readable for whom the source is, and its owner's when root builds it. */
static bool inherit_rights(const struct table_builder *builder, struct error *error)
{
    struct stat source;

    if (builder->options.source_path == NULL || stat(builder->options.source_path, &source) != 0)
        return true;
    if (!builder->options.stays_root && geteuid() == 0 && source.st_uid != 0 &&
        chown(builder->draft_path, source.st_uid, source.st_gid) != 0)
        return error_errno(error, "change the owner of %s", builder->draft_path);
    mode_t mode = builder->options.keeps_mode ? 0600 : 0600 | (source.st_mode & 0044);
    if (chmod(builder->draft_path, mode) != 0)
        return error_errno(error, "change the mode of %s", builder->draft_path);
    return true;
}

bool table_builder_finish(struct table_builder *builder, struct error *error)
{
    bool is_written =
        builder->cdb.writer != NULL
            ? cdb_writer_finish(builder->cdb.writer, builder->options.may_replace, error)
            : commit(builder, error) && fd_sync(builder->file.fd, builder->draft_path, error);

    if (!is_written || !inherit_rights(builder, error))
        return false;
    lmdb_file_close(&builder->file);
    if (!rename_durably(builder->draft_path, builder->path, error))
        return false;
    builder->draft_path = NULL;
    return true;
}
