/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_list.h"

#include "base/memory.h"
#include "table/table_source.h"

/* Open, and in use by one list or, after a reload, by two. */
struct open_table {
    struct table *table;
    bool is_pattern;
    bool is_failing;
    unsigned users;
};

struct table_list {
    struct arena arena;
    struct str name;
    struct table_options options;
    struct open_table **tables;
    size_t count;
};

static void warn(const struct table_options *options, struct str name, const char *text,
                 const char *more)
{
    autoclear_arena struct arena scratch = { 0 };

    if (options->warning != NULL)
        options->warning(options->argument,
                         arena_printf(&scratch, "%.*s: %s%s", STR_ARGS(name), text, more));
}

static struct open_table *find_open(struct table_list *list, struct str specification)
{
    for (size_t i = 0; list != NULL && i < list->count; i++)
        if (!list->tables[i]->is_failing &&
            str_equal(table_specification(list->tables[i]->table), specification))
            return list->tables[i];
    return NULL;
}

static struct open_table *open_one(const struct table_list *list, struct str specification,
                                   const struct table_options *options, struct table_list *old)
{
    struct error error = { 0 };
    struct table *table = table_open(specification, options, &error);
    struct open_table *open = table == NULL ? find_open(old, specification) : NULL;

    if (open != NULL) {
        warn(options, list->name, error.message,
             "; it stays as it was read before, stop and start to have it read again");
        open->users++;
        return open;
    }
    open = memory_new(sizeof *open);
    open->users = 1;
    open->is_failing = table == NULL;
    open->table = table;
    if (table == NULL) {
        warn(options, list->name, error.message, "");
        open->table = table_new_failing(specification, &error);
    }
    open->is_pattern = !table_takes_parts(open->table);
    return open;
}

struct table_list *table_list_new(struct str name, struct str text,
                                  const struct table_options *options, struct table_list *old)
{
    struct table_list *list = memory_new(sizeof *list);
    struct str word;

    list->name = arena_copy(&list->arena, name);
    list->options = *options;
    /* A word has at least one byte and a separator. */
    list->tables = arena_new_array(&list->arena, text.len / 2 + 1, sizeof(struct open_table *));
    while (table_next_word(&text, &word))
        list->tables[list->count++] = open_one(list, word, options, old);
    return list;
}

static void close_one(struct open_table *open)
{
    if (--open->users > 0)
        return;
    table_close(&open->table);
    memory_free(open);
}

void table_list_free(struct table_list **list)
{
    if (*list == NULL)
        return;
    for (size_t i = 0; i < (*list)->count; i++)
        close_one((*list)->tables[i]);
    arena_clear(&(*list)->arena);
    memory_free(*list);
    *list = NULL;
}

bool table_list_is_empty(const struct table_list *list)
{
    return list->count == 0;
}

struct str table_list_name(const struct table_list *list)
{
    return list->name;
}

static void warn_of_failure(const struct table_list *list, const struct table *table,
                            struct str key)
{
    autoclear_arena struct arena scratch = { 0 };

    if (list->options.warns_of_failures && list->options.warning != NULL)
        list->options.warning(list->options.argument,
                              arena_printf(&scratch, "%.*s lookup error for \"%.*s\"",
                                           STR_ARGS(table_specification(table)), STR_ARGS(key)));
}

enum lookup_outcome table_list_find(struct table_list *list, struct str key, enum key_kind kind,
                                    struct arena *arena, struct str *value, struct error *error)
{
    *value = STR("");
    if (key.len == 0) /* no table has it, and some could not even be asked */
        return LOOKUP_ABSENT;
    for (size_t i = 0; i < list->count; i++) {
        const struct open_table *open = list->tables[i];
        if (kind == KEY_PART && open->is_pattern)
            continue;
        enum lookup_outcome outcome = table_find(open->table, key, arena, value, error);
        if (outcome == LOOKUP_FAILED)
            warn_of_failure(list, open->table, key);
        if (outcome == LOOKUP_FOUND && str_trim(*value).len == 0) {
            error_set(error, "table %.*s: key %.*s: the value is empty",
                      STR_ARGS(table_specification(open->table)), STR_ARGS(key));
            return LOOKUP_FAILED;
        }
        if (outcome != LOOKUP_ABSENT)
            return outcome;
    }
    return LOOKUP_ABSENT;
}

enum lookup_outcome table_list_find_or_warn(struct table_list *list, struct str key,
                                            struct arena *arena, struct str *value,
                                            const struct log_context *log)
{
    struct error error;

    if (list == NULL || table_list_is_empty(list))
        return LOOKUP_ABSENT;
    enum lookup_outcome outcome = table_list_find(list, key, KEY_WHOLE, arena, value, &error);
    if (outcome == LOOKUP_FAILED)
        log_warning(log, "%.*s: %s", STR_ARGS(table_list_name(list)), error.message);
    return outcome;
}
