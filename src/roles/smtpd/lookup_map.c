/* SPDX-License-Identifier: Apache-2.0 */
#include "lookup_map.h"

#include "base/list.h"
#include "base/memory.h"
#include "mail/address.h"
#include "mail/extension.h"

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

/* ---- chains ---- */

/* The next word; a { … } with what is in it belongs to its word. */
static bool next_specification(struct str *rest, struct str *word)
{
    size_t depth = 0;
    size_t len = 0;

    while (rest->len > 0 && (ascii_is_space(rest->ptr[0]) || rest->ptr[0] == ','))
        *rest = str_skip(*rest, 1);
    for (; len < rest->len; len++) {
        char byte = rest->ptr[len];
        if (byte == '{')
            depth++;
        else if (byte == '}' && depth > 0)
            depth--;
        else if (depth == 0 && (byte == ',' || ascii_is_space(byte)))
            break;
    }
    *word = str_take(*rest, len);
    *rest = str_skip(*rest, len);
    return len > 0;
}

void lookup_chain_open(struct lookup_chain *chain, struct arena *arena, struct lookup_maps *maps,
                       struct str specifications)
{
    struct str rest = specifications;
    struct str word;

    chain->maps = arena_new_array(arena, specifications.len / 2 + 1, sizeof *chain->maps);
    while (next_specification(&rest, &word))
        chain->maps[chain->count++] = lookup_maps_open(maps, word);
}

enum lookup_outcome lookup_chain_find(const struct lookup_chain *chain, struct arena *arena,
                                      struct str key, bool is_part, struct str *value)
{
    for (size_t i = 0; i < chain->count; i++) {
        if (is_part && chain->maps[i]->is_pattern)
            continue;
        enum lookup_outcome outcome = lookup_map_find(chain->maps[i], arena, key, value);
        if (outcome != LOOKUP_ABSENT)
            return outcome;
    }
    return LOOKUP_ABSENT;
}

/* ---- addresses ---- */

struct str address_without_extension(struct arena *arena, struct str address,
                                     const struct address_rules *rules)
{
    struct str local = address_has_domain(address) ? address_local(address) : address;
    struct extension_rules extensions = { rules->delimiters, !rules->has_owner_request };
    struct str user, extension;

    if (!extension_split(local, &extensions, &user, &extension))
        return STR("");
    return str_from(
        arena_printf(arena, "%.*s%.*s", STR_ARGS(user), STR_ARGS(str_skip(address, local.len))));
}

struct lookup_key {
    struct str text;
    bool is_part;
};

enum lookup_outcome lookup_chain_find_address(const struct lookup_chain *chain, struct arena *arena,
                                              struct str address, const struct address_rules *rules,
                                              struct str *value)
{
    struct str bare = address_without_extension(arena, address, rules);
    struct str at_domain =
        address_has_domain(address) ? str_skip(address, address_local(address).len) : STR("");
    const struct lookup_key keys[] = {
        { address, false },
        { bare, true },
        { rules->is_local ? address_local(address) : STR(""), true },
        { rules->is_local && bare.len > 0 ? address_local(bare) : STR(""), true },
        { at_domain, true },
    };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        enum lookup_outcome outcome =
            str_is_empty(keys[i].text)
                ? LOOKUP_ABSENT
                : lookup_chain_find(chain, arena, keys[i].text, keys[i].is_part, value);
        if (outcome != LOOKUP_ABSENT)
            return outcome;
    }
    return LOOKUP_ABSENT;
}
