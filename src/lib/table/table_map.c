/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables made of tables: unionmap asks all and joins what they say with commas, pipemap gives each
 * answer to the next one as its key. And randmap, whose answer is any of its members.
 */
#include "base/ensure.h"
#include "table/table_source.h"
#include "table/table_type.h"

#include <sys/random.h>

enum { MEMBERS_MAX = 100 };

struct members {
    size_t count;
    struct table *tables[MEMBERS_MAX];
    struct str texts[MEMBERS_MAX]; /* randmap */
};

static bool bad_syntax(const struct table *table, const char *wanted, struct error *error)
{
    return error_set(error, "bad syntax: \"%.*s\"; need \"%s:{%s...}\"",
                     STR_ARGS(table->specification), table->type->name, wanted);
}

static bool add_member(struct table *table, struct str text, bool is_table, struct error *error)
{
    struct members *members = table->state;

    if (members->count == MEMBERS_MAX)
        return error_set(error, "%.40s...: more than %d members", table->specification.ptr,
                         MEMBERS_MAX);
    if (!is_table) {
        members->texts[members->count++] = text;
        return true;
    }
    struct table *member = table_open(text, &table->options, error);
    if (member == NULL)
        return false;
    members->tables[members->count++] = member;
    return true;
}

static bool open_members(struct table *table, bool are_tables, struct error *error)
{
    const char *wanted = are_tables ? "type:name" : "value";
    struct str rest = str_trim(str_from(table->name)), body, text;

    table->state = arena_new(&table->arena, sizeof(struct members));
    if (rest.len == 0 || rest.ptr[0] != '{' || !table_take_braces(&rest, &body) || rest.len > 0)
        return bad_syntax(table, wanted, error);
    while (table_next_word(&body, &text)) {
        if (are_tables && !table_is_specification(text))
            return bad_syntax(table, wanted, error);
        if (!add_member(table, text, are_tables, error))
            return false;
    }
    const struct members *members = table->state;
    return members->count > 0 || bad_syntax(table, wanted, error);
}

static void map_close(struct table *table)
{
    struct members *members = table->state;

    for (size_t i = 0; members != NULL && i < members->count; i++)
        table_close(&members->tables[i]);
}

static bool map_is_stale(const struct table *table)
{
    const struct members *members = table->state;

    for (size_t i = 0; i < members->count; i++)
        if (members->tables[i] != NULL && table_is_stale(members->tables[i]))
            return true;
    return false;
}

static bool map_takes_parts(const struct table *table)
{
    const struct members *members = table->state;

    for (size_t i = 0; i < members->count; i++)
        if (members->tables[i] != NULL && !table_takes_parts(members->tables[i]))
            return false;
    return true;
}

/* ---- unionmap ---- */

static bool tables_open(struct table *table, struct error *error)
{
    return open_members(table, true, error);
}

static enum lookup_outcome union_find(struct table *table, struct str key, struct arena *arena,
                                      struct str *value, struct error *error)
{
    const struct members *members = table->state;
    autofree_buf struct buf joined = { 0 };
    bool is_found = false;
    struct str part;

    for (size_t i = 0; i < members->count; i++) {
        switch (table_find(members->tables[i], key, arena, &part, error)) {
        case LOOKUP_FOUND:
            if (is_found)
                buf_append_byte(&joined, ',');
            buf_append(&joined, part);
            is_found = true;
            break;
        case LOOKUP_ABSENT:
            break;
        case LOOKUP_FAILED:
            return LOOKUP_FAILED;
        }
    }
    *value = arena_copy(arena, buf_str(&joined));
    return is_found ? LOOKUP_FOUND : LOOKUP_ABSENT;
}

const struct table_type table_type_unionmap = {
    .name = "unionmap",
    .open = tables_open,
    .find = union_find,
    .close = map_close,
    .is_stale = map_is_stale,
    .takes_parts = map_takes_parts,
};

/* ---- pipemap ---- */

static enum lookup_outcome pipe_find(struct table *table, struct str key, struct arena *arena,
                                     struct str *value, struct error *error)
{
    const struct members *members = table->state;
    enum lookup_outcome outcome = LOOKUP_FOUND;

    for (size_t i = 0; i < members->count && outcome == LOOKUP_FOUND; i++) {
        outcome = table_find(members->tables[i], key, arena, value, error);
        key = *value;
    }
    return outcome;
}

const struct table_type table_type_pipemap = {
    .name = "pipemap",
    .open = tables_open,
    .find = pipe_find,
    .close = map_close,
    .is_stale = map_is_stale,
    .takes_parts = map_takes_parts,
};

/* ---- randmap ---- */

static bool rand_open(struct table *table, struct error *error)
{
    return open_members(table, false, error);
}

static enum lookup_outcome rand_find(struct table *table, struct str key, struct arena *arena,
                                     struct str *value, struct error *error)
{
    const struct members *members = table->state;
    uint32_t number = 0;

    ensure(getrandom(&number, sizeof number, 0) == sizeof number);
    *value = arena_copy(arena, members->texts[number % members->count]);
    return LOOKUP_FOUND;
}

const struct table_type table_type_randmap = {
    .name = "randmap",
    .open = rand_open,
    .find = rand_find,
};
