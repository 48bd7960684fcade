/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "table/table_source.h"

static void (*const checks[])(struct check *check) = {
    check_names,        check_values,    check_tables,       check_transports, check_limits,
    check_restrictions, check_addresses, check_certificates, check_accounts,   check_headers,
};

void check_run(struct check *check, const struct config_source *source, const struct config *config)
{
    check->source = source;
    check->config = config;
    check->end = &check->first;
    check->main_path = arena_printf(&check->arena, "%.*s/main.cf", STR_ARGS(source->folder));
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        checks[i](check);
}

void check_clear(struct check *check)
{
    arena_clear(&check->arena);
    *check = (struct check){ 0 };
}

const char *check_level_word(enum check_level level)
{
    switch (level) {
    case CHECK_HINT:
        return "hint";
    case CHECK_WARNING:
        return "warning";
    case CHECK_ERROR:
        return "error";
    }
    return "";
}

void check_find(struct check *check, enum check_level level, const char *kind,
                struct check_place place, const char *text, const char *cure)
{
    struct check_finding *finding = arena_new(&check->arena, sizeof *finding);

    *finding = (struct check_finding){ level, kind, place, text, cure, NULL };
    *check->end = finding;
    check->end = &finding->next;
    check->count[level]++;
}

const char *check_finding_text(struct check *check, const struct check_finding *finding)
{
    const char *place = "", *cure = "";

    if (finding->place.file != NULL && finding->place.line > 0)
        place =
            arena_printf(&check->arena, "%s, line %d: ", finding->place.file, finding->place.line);
    else if (finding->place.file != NULL)
        place = arena_printf(&check->arena, "%s: ", finding->place.file);
    if (finding->cure != NULL && *finding->cure != '\0')
        cure = arena_printf(&check->arena, "; %s", finding->cure);
    return arena_printf(&check->arena, "%s%s%s", place, finding->text, cure);
}

struct check_place check_place_of(const struct check *check, struct str name)
{
    const struct main_cf_assignment *found = main_cf_find(&check->source->main_cf, name);

    return found != NULL ? (struct check_place){ found->file, found->line }
                         : (struct check_place){ check->main_path, 0 };
}

struct check_place check_place_of_service(const struct master_service *service)
{
    return (struct check_place){ service->file, service->line };
}

struct check_setting check_setting_of(struct check *check, const char *name)
{
    struct check_setting setting = { .name = str_from(name) };

    setting.is_set = main_cf_find(&check->source->main_cf, setting.name) != NULL;
    setting.place = check_place_of(check, setting.name);
    if (!config_find(check->config, setting.name, &setting.value))
        setting.value = STR("");
    return setting;
}

void check_each(struct check *check, const char *name,
                void (*visit)(struct check *check, const struct check_setting *setting))
{
    const struct master_cf *master_cf = &check->source->master_cf;
    struct check_setting setting = check_setting_of(check, name);
    struct error ignored;

    visit(check, &setting);
    for (size_t i = 0; i < master_cf->count; i++) {
        const struct master_service *service = &master_cf->services[i];
        bool is_overridden = false;
        for (size_t j = 0; j < service->override_count; j++)
            is_overridden |= str_equal(service->overrides[j].name, setting.name);
        struct config *config =
            is_overridden ? config_new(check->source, service, NULL, NULL, &ignored) : NULL;
        if (config == NULL)
            continue;
        struct check_setting own = { .name = setting.name, .is_set = true, .service = service };
        own.place = check_place_of_service(service);
        if (config_find(config, own.name, &own.value)) {
            own.value = arena_copy(&check->arena, own.value);
            visit(check, &own);
        }
        config_free(&config);
    }
}

void check_each_table(struct check *check, const struct check_setting *setting,
                      void (*visit)(struct check *check, const struct check_setting *setting,
                                    struct table *table))
{
    struct str rest = setting->value, word;

    while (table_next_word(&rest, &word)) {
        struct error ignored;
        if (!table_is_specification(word))
            continue;
        struct table *table = table_open(word, &(struct table_options){ 0 }, &ignored);
        if (table == NULL)
            continue;
        visit(check, setting, table);
        table_close(&table);
    }
}
