/* SPDX-License-Identifier: Apache-2.0 */
/* cdb: tables: FILE.cdb, built by postmap; keys and values with or without a NUL at the end. */
#include "base/file.h"
#include "table/cdb_file.h"
#include "table/table_type.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct cdb_table {
    int fd;
    const char *path;
    struct stat opened;
};

static bool cdb_open(struct table *table, struct error *error)
{
    struct cdb_table *cdb = arena_new(&table->arena, sizeof *cdb);

    cdb->path = arena_printf(&table->arena, "%s" CDB_FILE_SUFFIX, table->name);
    table->state = cdb;
    cdb->fd = open(cdb->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (cdb->fd < 0) {
        error_errno(error, "open database %s", cdb->path);
        if (errno == ENOENT && access(table->name, F_OK) == 0)
            return error_context(error, "run \"postmap %.*s\"", STR_ARGS(table->specification));
        return false;
    }
    if (fstat(cdb->fd, &cdb->opened) != 0)
        return error_errno(error, "open database %s", cdb->path);
    if (!S_ISREG(cdb->opened.st_mode))
        return error_set(error, "open database %s: not a regular file", cdb->path);
    table_warn_of_age(table, cdb->path);
    return true;
}

static enum lookup_outcome cdb_find(struct table *table, struct str key, struct arena *arena,
                                    struct str *value, struct error *error)
{
    const struct cdb_table *cdb = table->state;
    char *text = arena_new(arena, key.len + 1);

    for (size_t i = 0; i < key.len; i++)
        text[i] = table->options.keeps_case ? key.ptr[i] : ascii_lower(key.ptr[i]);
    enum lookup_outcome outcome =
        cdb_file_find(cdb->fd, str_of(text, key.len), arena, value, error);
    if (outcome == LOOKUP_ABSENT)
        outcome = cdb_file_find(cdb->fd, str_of(text, key.len + 1), arena, value, error);
    if (outcome == LOOKUP_FAILED)
        error_context(error, "%s", cdb->path);
    if (outcome == LOOKUP_FOUND && value->len > 0 && value->ptr[value->len - 1] == '\0')
        value->len--;
    return outcome;
}

static void cdb_close(struct table *table)
{
    struct cdb_table *cdb = table->state;

    if (cdb != NULL)
        fd_close(&cdb->fd);
}

static bool cdb_is_stale(const struct table *table)
{
    const struct cdb_table *cdb = table->state;
    struct stat now;

    return stat(cdb->path, &now) != 0 || now.st_ino != cdb->opened.st_ino ||
           now.st_dev != cdb->opened.st_dev || now.st_mtim.tv_sec != cdb->opened.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != cdb->opened.st_mtim.tv_nsec;
}

const struct table_type table_type_cdb = {
    .name = "cdb",
    .open = cdb_open,
    .find = cdb_find,
    .close = cdb_close,
    .is_stale = cdb_is_stale,
};
