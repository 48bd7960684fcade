/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table.h"

#include "base/file.h"
#include "base/memory.h"
#include "table/table_source.h"
#include "table/table_type.h"
#include "table/table_value.h"

#include <stdio.h>

static struct table_surroundings surroundings_now;

void table_set_surroundings(const struct table_surroundings *surroundings)
{
    surroundings_now = *surroundings;
}

const struct table_surroundings *table_surroundings(void)
{
    return &surroundings_now;
}

struct str table_fold(struct arena *arena, struct str key)
{
    char *folded = arena_new(arena, key.len + 1);

    for (size_t i = 0; i < key.len; i++)
        folded[i] = ascii_lower(key.ptr[i]);
    return str_of(folded, key.len);
}

void table_warn(const struct table *table, const char *format, ...)
{
    char text[480];
    va_list arguments;

    if (table->options.warning == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    table->options.warning(table->options.argument, text);
}

bool table_read_text(struct table *table, const char *path, size_t limit_bytes, struct buf *text,
                     struct error *error)
{
    if (stat(path, &table->source) != 0)
        return error_errno(error, "open %s", path);
    table->source_path = path;
    return file_read(path, limit_bytes, text, error);
}

static bool source_changed(const struct table *table)
{
    const struct stat *then = &table->source;
    struct stat now;

    return table->source_path != NULL &&
           (stat(table->source_path, &now) != 0 || now.st_ino != then->st_ino ||
            now.st_dev != then->st_dev || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != then->st_mtim.tv_nsec || now.st_size != then->st_size);
}

void table_warn_of_age(const struct table *table, const char *path)
{
    struct stat made, source;

    if (table->options.warns_of_age && stat(path, &made) == 0 && stat(table->name, &source) == 0 &&
        source.st_mtime > made.st_mtime)
        table_warn(table, "database %s is older than source file %s", path, table->name);
}

bool table_read_rules(struct table *table, size_t limit_bytes, struct buf *text,
                      struct error *error)
{
    if (table->name[0] == '{')
        return table_inline_lines(str_from(table->name), text, error);
    return table_read_text(table, table->name, limit_bytes, text, error);
}

bool table_is_specification(struct str text)
{
    size_t len = 0;

    while (len < text.len && (ascii_is_alnum(text.ptr[len]) || text.ptr[len] == '_'))
        len++;
    return len > 0 && len < text.len && text.ptr[len] == ':';
}

struct str table_keep_value(struct table *table, struct str value)
{
    autofree_buf struct buf content = { 0 };
    struct error error;

    if (!table->options.values_are_files)
        return arena_copy(&table->arena, value);
    if (!table_value_read(value, &content, &error)) {
        table_warn(table, "%.*s: %s", STR_ARGS(table->specification), error.message);
        return STR("");
    }
    return arena_copy(&table->arena, buf_str(&content));
}

/* ---- a table that fails ---- */

static enum lookup_outcome failing_find(struct table *table, struct str key, struct arena *arena,
                                        struct str *value, struct error *error)
{
    const struct error *why = table->state;

    *error = *why;
    return LOOKUP_FAILED;
}

static bool fail_open(struct table *table, struct error *error)
{
    struct error *why = arena_new(&table->arena, sizeof *why);

    error_set(why, "fail:%s: every look-up in this table fails", table->name);
    table->state = why;
    return true;
}

static const struct table_type table_type_fail = {
    .name = "fail",
    .is_pattern = true,
    .open = fail_open,
    .find = failing_find,
};

/* ---- all types ---- */

static const struct table_type *const types[] = {
    &table_type_hash,     &table_type_btree,    &table_type_lmdb,      &table_type_cdb,
    &table_type_cidr,     &table_type_texthash, &table_type_regexp,    &table_type_pcre,
    &table_type_inline,   &table_type_static,   &table_type_fail,      &table_type_unionmap,
    &table_type_pipemap,  &table_type_randmap,  &table_type_unix,      &table_type_environ,
    &table_type_internal, &table_type_tcp,      &table_type_socketmap, &table_type_sqlite,
    &table_type_nis,
};

static const struct table_type *type_find(struct str name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_equal(name, str_from(types[i]->name)))
            return types[i];
    return NULL;
}

/* Whether its values may stand for files: those of an index have their content already. */
static bool takes_files(const struct table_type *type)
{
    static const struct table_type *const takers[] = {
        &table_type_hash,   &table_type_btree,    &table_type_lmdb,
        &table_type_cdb,    &table_type_texthash, &table_type_inline,
        &table_type_static, &table_type_sqlite,   &table_type_fail,
    };

    for (size_t i = 0; i < sizeof takers / sizeof *takers; i++)
        if (type == takers[i])
            return true;
    return false;
}

static struct table *new_table(struct str specification, const struct table_options *options)
{
    struct table *table = memory_new(sizeof *table);
    ptrdiff_t colon = str_find_byte(specification, ':');

    table->specification = arena_copy(&table->arena, specification);
    table->name = table->specification.ptr + (colon < 0 ? 0 : colon + 1);
    if (options != NULL)
        table->options = *options;
    return table;
}

bool table_is_proxied(struct str list, struct str specification)
{
    bool is_found = false;
    struct str word;

    while (!is_found && table_next_word(&list, &word)) {
        bool has_prefix = false;
        for (; str_starts_with(word, STR("proxy:")); word = str_skip(word, 6))
            has_prefix = true;
        is_found = has_prefix && str_equal(word, specification);
    }
    return is_found;
}

/* Everything runs in the role that asks: "proxy:" only says where Postfix would. But what the
 * operator did not approve of for that may not be reached by that. */
static struct table *open_proxy(struct str specification, const struct table_options *options,
                                struct error *error)
{
    if (!surroundings_now.checks_proxies ||
        table_is_proxied(surroundings_now.proxy_read_maps, specification))
        return table_open(specification, options, error);
    error_set(error,
              "proxymap service is not configured for table \"%.*s\": add \"proxy:%.*s\" to "
              "proxy_read_maps, or leave \"proxy:\" out",
              STR_ARGS(specification), STR_ARGS(specification));
    return NULL;
}

struct table *table_open(struct str specification, const struct table_options *options,
                         struct error *error)
{
    specification = str_trim(specification);
    if (!table_is_specification(specification)) {
        error_set(error, "\"%.*s\": expected a table as type:name", STR_ARGS(specification));
        return NULL;
    }
    struct str name = str_take(specification, (size_t)str_find_byte(specification, ':'));
    if (str_equal(name, STR("proxy")) && table_is_specification(str_skip(specification, 6)))
        return open_proxy(str_skip(specification, 6), options, error);
    const struct table_type *type = type_find(name);
    if (type == NULL) {
        error_set(error, "unsupported dictionary type: %.*s", STR_ARGS(name));
        return NULL;
    }
    if (options != NULL && options->values_are_files && !takes_files(type)) {
        error_set(error, "%.*s: tables of this type cannot hold the content of files",
                  STR_ARGS(specification));
        return NULL;
    }
    struct table *table = new_table(specification, options);
    table->type = type;
    if (!type->open(table, error)) {
        table_close(&table);
    }
    return table;
}

struct table *table_new_failing(struct str specification, const struct error *error)
{
    struct table *table = new_table(specification, NULL);
    struct error *why = arena_new(&table->arena, sizeof *why);

    *why = *error;
    table->type = &table_type_fail;
    table->state = why;
    return table;
}

void table_close(struct table **table)
{
    if (*table == NULL)
        return;
    if ((*table)->type->close != NULL)
        (*table)->type->close(*table);
    arena_clear(&(*table)->arena);
    memory_free(*table);
    *table = NULL;
}

enum lookup_outcome table_find(struct table *table, struct str key, struct arena *arena,
                               struct str *value, struct error *error)
{
    *value = STR("");
    return table->type->find(table, key, arena, value, error);
}

enum lookup_outcome table_next(struct table *table, struct arena *arena, struct str *key,
                               struct str *value, struct error *error)
{
    if (table->type->next != NULL)
        return table->type->next(table, arena, key, value, error);
    error_set(error, "table %.*s: sequence operation is not supported",
              STR_ARGS(table->specification));
    return LOOKUP_FAILED;
}

bool table_takes_parts(const struct table *table)
{
    return table->type->takes_parts != NULL ? table->type->takes_parts(table)
                                            : !table->type->is_pattern;
}

bool table_is_stale(const struct table *table)
{
    return table->type->is_stale != NULL ? table->type->is_stale(table) : source_changed(table);
}

struct str table_specification(const struct table *table)
{
    return table->specification;
}
