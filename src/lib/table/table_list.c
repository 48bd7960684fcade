/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_list.h"

#include "base/memory.h"

struct table_list {
    struct arena arena;
    struct str name;
    struct table **tables;
    bool *are_patterns;
    size_t count;
};

/* Takes one word off `*rest`: up to a blank or comma outside braces. */
static bool next_table(struct str *rest, struct str *word)
{
    size_t end, depth = 0;

    while (rest->len > 0 && (ascii_is_space(rest->ptr[0]) || rest->ptr[0] == ','))
        *rest = str_skip(*rest, 1);
    for (end = 0; end < rest->len; end++) {
        char byte = rest->ptr[end];
        depth += byte == '{';
        depth -= byte == '}' && depth > 0;
        if (depth == 0 && (ascii_is_space(byte) || byte == ','))
            break;
    }
    *word = str_take(*rest, end);
    *rest = str_skip(*rest, end);
    return word->len > 0;
}

static bool is_pattern(struct str specification)
{
    static const char *const types[] = { "regexp:", "pcre:", "cidr:", "tcp:", "fail:" };
    bool is_combined = str_starts_with(specification, STR("pipemap:")) ||
                       str_starts_with(specification, STR("unionmap:"));

    if (str_starts_with(specification, STR("proxy:")))
        specification = str_skip(specification, 6);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (str_starts_with(specification, str_from(types[i])) ||
            (is_combined && str_find(specification, str_from(types[i])) >= 0))
            return true;
    return false;
}

static void warn(const struct table_options *options, struct arena *arena, struct str name,
                 const struct error *error)
{
    if (options->warning != NULL)
        options->warning(options->argument,
                         arena_printf(arena, "%.*s: %s", STR_ARGS(name), error->message));
}

struct table_list *table_list_new(struct str name, struct str text,
                                  const struct table_options *options)
{
    struct table_list *list = memory_new(sizeof *list);
    struct str word;

    list->name = arena_copy(&list->arena, name);
    /* A word has at least one byte and a separator. */
    list->tables = arena_new_array(&list->arena, text.len / 2 + 1, sizeof *list->tables);
    list->are_patterns = arena_new_array(&list->arena, text.len / 2 + 1, 1);
    while (next_table(&text, &word)) {
        struct error error = { 0 };
        struct table *table = table_open(word, options, &error);
        if (table == NULL) {
            warn(options, &list->arena, name, &error);
            table = table_new_failing(word, &error);
        }
        list->are_patterns[list->count] = is_pattern(word);
        list->tables[list->count++] = table;
    }
    return list;
}

void table_list_free(struct table_list **list)
{
    if (*list == NULL)
        return;
    for (size_t i = 0; i < (*list)->count; i++)
        table_close(&(*list)->tables[i]);
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

enum lookup_outcome table_list_find(struct table_list *list, struct str key, enum key_kind kind,
                                    struct arena *arena, struct str *value, struct error *error)
{
    *value = STR("");
    if (key.len == 0) /* no table has it, and some could not even be asked */
        return LOOKUP_ABSENT;
    for (size_t i = 0; i < list->count; i++) {
        if (kind == KEY_PART && list->are_patterns[i])
            continue;
        enum lookup_outcome outcome = table_find(list->tables[i], key, arena, value, error);
        if (outcome == LOOKUP_FOUND && str_trim(*value).len == 0) {
            error_set(error, "table %.*s: key %.*s: the value is empty",
                      STR_ARGS(table_specification(list->tables[i])), STR_ARGS(key));
            return LOOKUP_FAILED;
        }
        if (outcome != LOOKUP_ABSENT)
            return outcome;
    }
    return LOOKUP_ABSENT;
}
