/* SPDX-License-Identifier: Apache-2.0 */
#include "sni_maps.h"

#include "base/memory.h"
#include "table/table_list.h"
#include "table/table_value.h"

struct sni_maps {
    struct str text;
    struct log_context log;
    struct table_list *tables;
    struct arena arena;
};

static void warn(void *argument, const char *text)
{
    const struct sni_maps *maps = argument;

    log_warning(&maps->log, "%s", text);
}

struct sni_maps *sni_maps_new(struct str text, const struct log_context *log)
{
    struct sni_maps *maps = memory_new(sizeof *maps);
    struct table_options options = { .values_are_files = true, .warning = warn, .argument = maps };

    maps->text = arena_copy(&maps->arena, text);
    maps->log = (struct log_context){ log->log, arena_copy(&maps->arena, log->tag) };
    maps->tables = table_list_new(STR("tls_server_sni_maps"), maps->text, &options, NULL);
    return maps;
}

void sni_maps_free(struct sni_maps **maps)
{
    if (*maps == NULL)
        return;
    table_list_free(&(*maps)->tables);
    arena_clear(&(*maps)->arena);
    memory_free(*maps);
    *maps = NULL;
}

struct str sni_maps_text(const struct sni_maps *maps)
{
    return maps->text;
}

/* The name itself, then ".example.com" for each domain above it. */
static enum lookup_outcome find_value(const struct sni_maps *maps, struct arena *scratch,
                                      struct str name, struct str *value, struct error *error)
{
    enum lookup_outcome outcome =
        table_list_find(maps->tables, name, KEY_WHOLE, scratch, value, error);
    ptrdiff_t dot;

    while (outcome == LOOKUP_ABSENT && (dot = str_find_byte(str_skip(name, 1), '.')) >= 0) {
        name = str_skip(name, (size_t)dot + 1);
        outcome = table_list_find(maps->tables, name, KEY_PART, scratch, value, error);
    }
    return outcome;
}

enum tls_chain_outcome sni_maps_find(const struct sni_maps *maps, struct str name,
                                     struct buf *chain)
{
    autoclear_arena struct arena scratch = { 0 };
    struct error error = { 0 };
    struct str value;

    switch (find_value(maps, &scratch, name, &value, &error)) {
    case LOOKUP_ABSENT:
        return TLS_CHAIN_ABSENT;
    case LOOKUP_FOUND:
        if (table_value_decode(value, chain, &error))
            return TLS_CHAIN_FOUND;
        break;
    case LOOKUP_FAILED:
        break;
    }
    log_warning(&maps->log, "tls_server_sni_maps: %.*s map lookup problem: %s", STR_ARGS(name),
                error.message);
    return TLS_CHAIN_FAILED;
}
