/* SPDX-License-Identifier: Apache-2.0 */
/* Tables that are held in memory whole: inline, static, texthash. */
#include "base/map.h"
#include "table/table_source.h"
#include "table/table_type.h"

enum { SOURCE_BYTES_MAX = 256 << 20 };

struct memory_table {
    struct map *entries; /* folded key → struct str * in the table's arena */
};

static struct str fold(const struct table *table, struct arena *arena, struct str key)
{
    return table->options.keeps_case ? key : table_fold(arena, key);
}

static enum lookup_outcome memory_find(struct table *table, struct str key, struct arena *arena,
                                       struct str *value, struct error *error)
{
    const struct memory_table *memory = table->state;
    const struct str *found = map_find(memory->entries, fold(table, arena, key));

    if (found == NULL)
        return LOOKUP_ABSENT;
    *value = arena_copy(arena, *found);
    return LOOKUP_FOUND;
}

static void memory_close(struct table *table)
{
    struct memory_table *memory = table->state;

    if (memory != NULL)
        map_free(&memory->entries);
}

static struct memory_table *memory_new_state(struct table *table)
{
    struct memory_table *memory = arena_new(&table->arena, sizeof *memory);

    memory->entries = map_new();
    table->state = memory;
    return memory;
}

static void memory_set(struct table *table, struct str key, struct str value)
{
    struct memory_table *memory = table->state;
    struct str *copy = arena_new(&table->arena, sizeof *copy);

    *copy = table_keep_value(table, value);
    map_set(memory->entries, fold(table, &table->arena, key), copy);
}

/* The first entry of a key stays, as in Postfix's dictionaries that are built from text. */
static bool memory_add(struct table *table, struct str key, struct str value)
{
    struct memory_table *memory = table->state;

    if (map_find(memory->entries, fold(table, &table->arena, key)) != NULL)
        return false;
    memory_set(table, key, value);
    return true;
}

/* ---- texthash ---- */

bool table_load_source(struct table *table, const char *path, struct error *error)
{
    autofree_buf struct buf text = { 0 };
    struct table_source source = { 0 };
    struct str line;
    int number;

    memory_new_state(table);
    if (!table_read_text(table, path, SOURCE_BYTES_MAX, &text, error))
        return false;
    source.rest = buf_str(&text);
    while (table_source_line(&table->arena, &source, &line, &number)) {
        struct str key, value;
        enum table_entry_fault fault = table_entry_split(line, &key, &value);
        if (fault == TABLE_ENTRY_NO_VALUE) {
            table_warn(table,
                       "%s, line %d: expected format: key whitespace value -- ignoring this line",
                       path, number);
            continue;
        }
        if (fault == TABLE_ENTRY_OPEN_QUOTE) {
            table_warn(table, "%s, line %d: unbalanced '\"' in '%.*s' -- ignoring this line", path,
                       number, STR_ARGS(line));
            continue;
        }
        if (fault == TABLE_ENTRY_LIKE_ALIAS)
            table_warn(table,
                       "%s, line %d: record is in \"key: value\" format; is this an alias file?",
                       path, number);
        if (!memory_add(table, key, value))
            table_warn(table, "%s, line %d: duplicate entry: \"%.*s\"", path, number,
                       STR_ARGS(key));
    }
    return true;
}

static bool texthash_open(struct table *table, struct error *error)
{
    return table_load_source(table, table->name, error);
}

const struct table_type table_type_texthash = {
    .name = "texthash",
    .open = texthash_open,
    .find = memory_find,
    .close = memory_close,
};

/* ---- inline ---- */

static bool inline_open(struct table *table, struct error *error)
{
    struct str rest = str_trim(str_from(table->name)), body;

    memory_new_state(table);
    if (rest.len == 0 || rest.ptr[0] != '{' || !table_take_braces(&rest, &body) ||
        str_trim(rest).len > 0)
        return error_set(error, "bad syntax: expected \"inline:{ name=value, … }\"");
    for (body = table_skip_separators(body); body.len > 0; body = table_skip_separators(body)) {
        struct str entry;
        if (body.ptr[0] != '{')
            entry = str_cut(&body, ", \t\r\n");
        else if (!table_take_braces(&body, &entry))
            return error_set(error, "\"inline:\" table: '{' without '}'");
        ptrdiff_t equals = str_find_byte(entry, '=');
        if (equals <= 0)
            return error_set(
                error,
                "missing '=' after attribute name: \"%.*s\"; need \"inline:{name=value...}\"",
                STR_ARGS(table->specification));
        struct str key = str_trim(str_take(entry, (size_t)equals));
        struct str value = str_trim(str_skip(entry, (size_t)equals + 1));
        if (!memory_add(table, key, value)) {
            table_warn(table, "\"inline:\" table: duplicate entry: \"%.*s\"", STR_ARGS(key));
            memory_set(table, key, value); /* the last one counts, other than in a file */
        }
    }
    return map_count(((struct memory_table *)table->state)->entries) > 0 ||
           error_set(error, "empty table: \"%.*s\"; need \"inline:{name=value...}\"",
                     STR_ARGS(table->specification));
}

const struct table_type table_type_inline = {
    .name = "inline",
    .open = inline_open,
    .find = memory_find,
    .close = memory_close,
};

/* ---- internal: nobody puts anything in ---- */

static bool internal_open(struct table *table, struct error *error)
{
    memory_new_state(table);
    return true;
}

static enum lookup_outcome internal_next(struct table *table, struct arena *arena, struct str *key,
                                         struct str *value, struct error *error)
{
    return LOOKUP_ABSENT;
}

const struct table_type table_type_internal = {
    .name = "internal",
    .open = internal_open,
    .find = memory_find,
    .close = memory_close,
    .next = internal_next,
};

/* ---- static ---- */

static bool static_open(struct table *table, struct error *error)
{
    struct str text = str_trim(str_from(table->name)), inner;

    if (text.len == 0)
        return error_set(error, "open dictionary: expecting \"type:name\" form instead of \"%.*s\"",
                         STR_ARGS(table->specification));
    if (text.len > 0 && text.ptr[0] == '{') {
        if (!table_take_braces(&text, &inner) || text.len > 0)
            return error_set(error, "bad syntax: expected \"static:{ text }\"");
        text = inner;
    }
    struct str *value = arena_new(&table->arena, sizeof *value);
    *value = table_keep_value(table, text);
    table->state = value;
    return true;
}

static enum lookup_outcome static_find(struct table *table, struct str key, struct arena *arena,
                                       struct str *value, struct error *error)
{
    const struct str *text = table->state;

    *value = arena_copy(arena, *text);
    return LOOKUP_FOUND;
}

const struct table_type table_type_static = {
    .name = "static",
    .open = static_open,
    .find = static_find,
};
