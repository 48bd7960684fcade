/* SPDX-License-Identifier: Apache-2.0 */
#include "maps.h"

#include "base/error.h"
#include "base/memory.h"
#include "table/table_source.h"

#include <sys/stat.h>

struct maps {
    const char *parameter;
    struct log_context log;
    struct table **tables;
    bool *are_failing; /* stand-ins: tried again at each look-up */
    size_t count;
    struct arena arena;
};

static void warn(void *argument, const char *text)
{
    const struct maps *maps = argument;

    log_warning(&maps->log, "%s: %s", maps->parameter, text);
}

static struct table *open_table(struct maps *maps, struct str specification, bool *is_failing)
{
    struct table_options options = { .warning = warn,
                                     .argument = maps,
                                     .forbids_substitution = true };
    struct error error = { 0 };
    struct table *table = table_open(specification, &options, &error);

    bool was_failing = *is_failing;

    *is_failing = table == NULL;
    if (table != NULL)
        return table;
    if (!was_failing)
        log_warning(&maps->log, "%s: %s", maps->parameter, error.message);
    return table_new_failing(specification, &error);
}

/* The tables are opened directly. */
static void add(struct maps *maps, struct str specification)
{
    if (str_starts_with(specification, STR("proxy:")))
        specification = str_skip(specification, 6);
    maps->tables = memory_resize(maps->tables, (maps->count + 1) * sizeof *maps->tables);
    maps->are_failing =
        memory_resize(maps->are_failing, (maps->count + 1) * sizeof *maps->are_failing);
    maps->are_failing[maps->count] = false;
    maps->tables[maps->count] =
        open_table(maps, arena_copy(&maps->arena, specification), &maps->are_failing[maps->count]);
    maps->count++;
}

struct maps *maps_new(const char *parameter, struct str text, const struct log_context *log)
{
    struct maps *maps = memory_new(sizeof *maps);
    struct str specification;

    maps->parameter = parameter;
    maps->log = *log;
    while (table_next_word(&text, &specification))
        add(maps, specification);
    return maps;
}

void maps_free(struct maps **maps)
{
    if (*maps == NULL)
        return;
    for (size_t i = 0; i < (*maps)->count; i++)
        table_close(&(*maps)->tables[i]);
    memory_free((*maps)->tables);
    memory_free((*maps)->are_failing);
    arena_clear(&(*maps)->arena);
    memory_free(*maps);
    *maps = NULL;
}

bool maps_are_empty(const struct maps *maps)
{
    return maps->count == 0;
}

static void refresh(struct maps *maps, size_t index)
{
    struct table *table = maps->tables[index];

    if (!maps->are_failing[index] && !table_is_stale(table))
        return;
    maps->tables[index] = open_table(maps, table_specification(table), &maps->are_failing[index]);
    table_close(&table);
}

/* The built file, else the source. */
static uid_t owner_of(const struct table *table, struct arena *arena)
{
    struct str name = table_specification(table);
    struct stat status;

    (void)str_cut(&name, ":");
    if (name.len == 0 || name.ptr[0] != '/')
        return 0;
    if (stat(arena_printf(arena, "%.*s.lmdb", STR_ARGS(name)), &status) == 0 ||
        stat(arena_text(arena, name), &status) == 0)
        return status.st_uid;
    return 0;
}

/* Where to put what is found. */
struct maps_value {
    struct str *text;
    uid_t *owner; /* or NULL */
};

static enum lookup_outcome find(struct maps *maps, struct str key, enum key_kind kind,
                                struct arena *arena, struct maps_value *found)
{
    for (size_t i = 0; i < maps->count; i++) {
        struct error error = { 0 };
        refresh(maps, i);
        if (kind == KEY_PART && !table_takes_parts(maps->tables[i]))
            continue;
        switch (table_find(maps->tables[i], key, arena, found->text, &error)) {
        case LOOKUP_FOUND:
            if (found->owner != NULL)
                *found->owner = owner_of(maps->tables[i], arena);
            return LOOKUP_FOUND;
        case LOOKUP_FAILED:
            log_warning(&maps->log, "%s: look up \"%.*s\" in %.*s: %s", maps->parameter,
                        STR_ARGS(key), STR_ARGS(table_specification(maps->tables[i])),
                        error.message);
            return LOOKUP_FAILED;
        case LOOKUP_ABSENT:
            break;
        }
    }
    return LOOKUP_ABSENT;
}

enum lookup_outcome maps_find(struct maps *maps, struct str key, struct arena *arena,
                              struct str *value, uid_t *owner)
{
    return find(maps, key, KEY_WHOLE, arena, &(struct maps_value){ value, owner });
}

enum lookup_outcome maps_find_part(struct maps *maps, struct str key, struct arena *arena,
                                   struct str *value)
{
    return find(maps, key, KEY_PART, arena, &(struct maps_value){ .text = value });
}
