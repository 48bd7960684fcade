/* SPDX-License-Identifier: Apache-2.0 */
#include "config/usage.h"

#include "base/map.h"
#include "base/memory.h"
#include "config/parameter.h"

static const char separators[] = " \t\r\n,";

struct config_usage {
    const struct config_source *source;
    struct map *assignments; /* name → the assignment that counts */
    struct map *used;        /* names that values refer to, and restriction classes */
    struct map *tables;      /* "users" where a value has mysql:users: users_hosts is used then */
};

static bool is_name_byte(char byte)
{
    return ascii_is_alnum(byte) || byte == '_';
}

/* Notes each $name, ${name…} and $(name…) in a value. */
static void add_references(struct config_usage *usage, struct str value)
{
    ptrdiff_t dollar;

    while ((dollar = str_find_byte(value, '$')) >= 0) {
        size_t len = 0;
        value = str_skip(value, (size_t)dollar + 1);
        if (value.len > 0 && (value.ptr[0] == '{' || value.ptr[0] == '('))
            value = str_skip(value, 1);
        while (value.len > 0 && ascii_is_space(value.ptr[0]))
            value = str_skip(value, 1);
        while (len < value.len && is_name_byte(value.ptr[len]))
            len++;
        if (len > 0)
            map_set(usage->used, str_take(value, len), usage);
    }
}

static void add_tables(struct config_usage *usage, struct str value)
{
    static const char *const types[] = {
        "ldap", "mysql", "pgsql", "sqlite", "memcache", "mongodb",
    };
    struct str word;

    while (str_next_word(&value, " \t\r\n,{}", &word)) {
        if (str_starts_with(word, STR("proxy:")))
            word = str_skip(word, 6);
        struct str name = word, type = str_cut(&name, ":");
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            if (str_equal(type, str_from(types[i])) && !str_is_empty(name))
                map_set(usage->tables, name, usage);
        }
    }
}

static void add_value(struct config_usage *usage, struct str value)
{
    add_references(usage, value);
    add_tables(usage, value);
}

static void add_classes(struct config_usage *usage)
{
    const struct main_cf_assignment *classes =
        config_usage_assignment(usage, STR("smtpd_restriction_classes"));
    struct str rest = classes != NULL ? classes->value : STR(""), word;

    while (str_next_word(&rest, separators, &word))
        map_set(usage->used, word, usage);
}

struct config_usage *config_usage_new(const struct config_source *source)
{
    struct config_usage *usage = memory_new(sizeof *usage);
    const struct master_cf *master_cf = &source->master_cf;

    usage->source = source;
    usage->assignments = map_new();
    usage->used = map_new();
    usage->tables = map_new();
    for (size_t i = 0; i < source->main_cf.count; i++) {
        struct main_cf_assignment *each = &source->main_cf.assignments[i];
        map_set(usage->assignments, each->name, each);
        add_value(usage, each->value);
    }
    for (size_t i = 0; i < master_cf->line_count; i++) {
        for (size_t j = 0; j < master_cf->lines[i].override_count; j++)
            add_value(usage, master_cf->lines[i].overrides[j].value);
    }
    for (size_t i = 0; i < parameter_count; i++)
        add_references(usage, parameters[i].default_text);
    add_classes(usage);
    return usage;
}

void config_usage_free(struct config_usage **usage)
{
    if (*usage == NULL)
        return;
    map_free(&(*usage)->assignments);
    map_free(&(*usage)->used);
    map_free(&(*usage)->tables);
    memory_free(*usage);
    *usage = NULL;
}

const struct main_cf_assignment *config_usage_assignment(const struct config_usage *usage,
                                                         struct str name)
{
    return map_find(usage->assignments, name);
}

static bool is_of_a_transport(const struct config_usage *usage, struct str name)
{
    struct str transport;

    return transport_parameter_find(name, &transport) != NULL &&
           master_cf_has_name(&usage->source->master_cf, transport);
}

/* "users_hosts" where there is a table mysql:users. */
static bool is_of_a_table(const struct config_usage *usage, struct str name)
{
    for (size_t i = 1; map_count(usage->tables) > 0 && i + 1 < name.len; i++) {
        if (name.ptr[i] == '_' && map_find(usage->tables, str_take(name, i)) != NULL)
            return true;
    }
    return false;
}

bool config_usage_has(const struct config_usage *usage, struct str name)
{
    return parameter_find(name) != NULL || map_find(usage->used, name) != NULL ||
           is_of_a_transport(usage, name) || is_of_a_table(usage, name);
}
