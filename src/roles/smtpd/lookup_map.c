/* SPDX-License-Identifier: Apache-2.0 */
#include "lookup_map.h"

#include "base/list.h"
#include "base/memory.h"

struct lookup_map {
    struct list link;
    struct lookup_maps *owner;
    struct str specification;
    struct table *table;
    bool is_pattern;
};

struct lookup_maps {
    struct list all;
    void (*warning)(void *argument, const char *text);
    void *argument;
    struct arena arena;
};

struct lookup_maps *lookup_maps_new(void (*warning)(void *argument, const char *text),
                                    void *argument)
{
    struct lookup_maps *maps = memory_new(sizeof *maps);

    list_init(&maps->all);
    maps->warning = warning;
    maps->argument = argument;
    return maps;
}

void lookup_maps_free(struct lookup_maps **maps)
{
    if (*maps == NULL)
        return;
    list_each (link, &(*maps)->all)
        table_close(&list_entry(link, struct lookup_map, link)->table);
    arena_clear(&(*maps)->arena);
    memory_free(*maps);
    *maps = NULL;
}

struct lookup_map *lookup_maps_open(struct lookup_maps *maps, struct str specification)
{
    struct table_options options = { .warning = maps->warning, .argument = maps->argument };
    struct error error;

    list_each (link, &maps->all) {
        struct lookup_map *map = list_entry(link, struct lookup_map, link);
        if (str_equal(map->specification, specification))
            return map;
    }
    struct lookup_map *map = arena_new(&maps->arena, sizeof *map);
    map->owner = maps;
    map->specification = arena_copy(&maps->arena, specification);
    map->table = table_open(map->specification, &options, &error);
    if (map->table == NULL) {
        maps->warning(maps->argument, error.message);
        map->table = table_new_failing(map->specification, &error);
    }
    map->is_pattern = !table_takes_parts(map->table);
    list_append(&maps->all, &map->link);
    return map;
}

enum lookup_outcome lookup_map_find(struct lookup_map *map, struct arena *arena, struct str key,
                                    struct str *value)
{
    struct error error;

    if (str_is_empty(key))
        return LOOKUP_ABSENT;
    enum lookup_outcome outcome = table_find(map->table, key, arena, value, &error);
    if (outcome == LOOKUP_FAILED)
        map->owner->warning(map->owner->argument,
                            arena_printf(arena, "%.*s lookup error for \"%.*s\"",
                                         STR_ARGS(map->specification), STR_ARGS(key)));
    return outcome;
}

bool lookup_map_has_parts(const struct lookup_map *map)
{
    return !map->is_pattern;
}

struct str lookup_map_name(const struct lookup_map *map)
{
    return map->specification;
}
