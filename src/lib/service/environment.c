/* SPDX-License-Identifier: Apache-2.0 */
#include "service/environment.h"

#include "table/table_source.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { VARIABLES_MAX = 100 };

struct variables {
    struct arena *arena;
    const char **items;
    size_t count;
};

bool environment_next(struct str *list, struct str *word)
{
    while (table_next_word(list, word)) {
        struct str text = *word, inner;
        if (text.ptr[0] == '{' && table_take_braces(&text, &inner) && text.len == 0)
            *word = str_trim(inner);
        if (word->len > 0 && word->ptr[0] != '=')
            return true;
    }
    return false;
}

/* Where the name stands already, or would. */
static size_t place_of(const struct variables *variables, struct str name)
{
    size_t i = 0;

    for (; i < variables->count; i++) {
        struct str item = str_from(variables->items[i]);
        if (str_starts_with(item, name) && item.len > name.len && item.ptr[name.len] == '=')
            break;
    }
    return i;
}

/* The last one of a name counts, as it does in a process's own environment. */
static void put(struct variables *variables, struct str name, struct str value)
{
    size_t place = place_of(variables, name);

    if (place == VARIABLES_MAX)
        return;
    variables->items[place] =
        arena_printf(variables->arena, "%.*s=%.*s", STR_ARGS(name), STR_ARGS(value));
    if (place == variables->count)
        variables->count++;
}

static void take_over(struct variables *variables, struct str name)
{
    const char *value = getenv(arena_text(variables->arena, name));

    if (value != NULL)
        put(variables, name, str_from(value));
}

const char *const *environment_import(struct arena *arena, const struct config *config)
{
    static const char *const sanitizers[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
                                              "TSAN_OPTIONS" };
    struct variables variables = { .arena = arena };
    struct str list = config->import_environment, word;

    variables.items = arena_new_array(arena, VARIABLES_MAX + 1, sizeof *variables.items);
    put(&variables, STR("PATH"), STR("/usr/sbin:/usr/bin:/sbin:/bin"));
    /* Hundreds of conversations free and want pieces of the same sizes in turns. */
    put(&variables, STR("GLIBC_TUNABLES"), STR("glibc.malloc.tcache_count=500"));
    for (size_t i = 0; i < sizeof sanitizers / sizeof *sanitizers; i++)
        take_over(&variables, str_from(sanitizers[i]));
    while (environment_next(&list, &word)) {
        struct str value = word, name = str_cut(&value, "=");
        if (name.len < word.len)
            put(&variables, name, value);
        else
            take_over(&variables, name);
    }
    return variables.items;
}

void environment_enforce(const struct config *config)
{
    autoclear_arena struct arena scratch = { 0 };
    struct str list = config->import_environment, word;

    while (environment_next(&list, &word)) {
        struct str value = word, name = str_cut(&value, "=");
        if (name.len < word.len)
            setenv(arena_text(&scratch, name), arena_text(&scratch, value), 1);
    }
    tzset();
}
