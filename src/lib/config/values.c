/* SPDX-License-Identifier: Apache-2.0 */
#include "config/values.h"

#include "base/map.h"
#include "base/memory.h"

#include <unistd.h>

struct config_values {
    const struct config_source *source;
    const struct master_service *service;
    struct map *by_name;
    struct arena arena;
    void (*undefined)(void *argument, struct str name);
    void *undefined_argument;
};

static struct config_value *add(struct config_values *values, struct str name, struct str raw)
{
    struct config_value *value = map_find(values->by_name, name);

    if (value == NULL) {
        value = arena_new(&values->arena, sizeof *value);
        value->name = name;
        value->parameter = parameter_find(name);
        map_set(values->by_name, name, value);
    }
    value->raw = raw;
    return value;
}

static void add_main_cf(struct config_values *values)
{
    const struct main_cf *main_cf = &values->source->main_cf;

    for (size_t i = 0; i < main_cf->count; i++) {
        const struct main_cf_assignment *each = &main_cf->assignments[i];
        struct config_value *value = add(values, each->name, each->value);
        value->origin = VALUE_IN_MAIN_CF;
        value->place = arena_printf(&values->arena, "%s, line %d", each->file, each->line);
    }
}

static void add_overrides(struct config_values *values)
{
    const struct master_service *service = values->service;
    struct config_value *value;

    if (service == NULL)
        return;
    for (size_t i = 0; i < service->override_count; i++) {
        value = add(values, service->overrides[i].name, service->overrides[i].value);
        value->origin = VALUE_IN_MASTER_CF;
        value->place = arena_printf(&values->arena, "%s, line %d", service->file, service->line);
    }
    value = add(values, STR("service_name"), service->name);
    value->origin = VALUE_IS_DEFAULT;
    value = add(values, STR("process_name"), service->command);
    value->origin = VALUE_IS_DEFAULT;
}

struct config_values *config_values_new(const struct config_source *source,
                                        const struct master_service *service)
{
    struct config_values *values = memory_new(sizeof *values);

    values->source = source;
    values->service = service;
    values->by_name = map_new();
    add(values, STR("config_directory"), source->folder);
    add(values, STR("process_id"), str_from(arena_printf(&values->arena, "%d", (int)getpid())));
    add_main_cf(values);
    add_overrides(values);
    return values;
}

void config_values_free(struct config_values **values)
{
    if (*values == NULL)
        return;
    map_free(&(*values)->by_name);
    arena_clear(&(*values)->arena);
    memory_free(*values);
    *values = NULL;
}

void config_values_on_undefined(struct config_values *values,
                                void (*undefined)(void *argument, struct str name), void *argument)
{
    values->undefined = undefined;
    values->undefined_argument = argument;
}

static bool expand_by_name(struct config_values *values, const char *name, struct str *text,
                           struct error *error)
{
    return config_values_expand(values, config_values_find(values, str_from(name)), text, error);
}

/* The machine's name; with mydomain behind it where it is not qualified. */
static bool default_myhostname(struct config_values *values, struct buf *out, struct error *error)
{
    struct str name = values->source->machine.host_name, domain = STR("localdomain");

    buf_append(out, name);
    if (str_find_byte(name, '.') >= 0)
        return true;
    if (config_values_find(values, STR("mydomain"))->origin != VALUE_IS_DEFAULT &&
        !expand_by_name(values, "mydomain", &domain, error))
        return false;
    buf_append_byte(out, '.');
    buf_append(out, domain);
    return true;
}

static bool default_mydomain(struct config_values *values, struct buf *out, struct error *error)
{
    struct str name;

    if (!expand_by_name(values, "myhostname", &name, error))
        return false;
    ptrdiff_t dot = str_find_byte(name, '.');
    buf_append(out, dot < 0 ? STR("localdomain") : str_skip(name, (size_t)dot + 1));
    return true;
}

static bool default_mynetworks(struct config_values *values, struct buf *out, struct error *error)
{
    struct network_choice choice;

    return expand_by_name(values, "mynetworks_style", &choice.style, error) &&
           expand_by_name(values, "inet_interfaces", &choice.interfaces, error) &&
           expand_by_name(values, "inet_protocols", &choice.protocols, error) &&
           machine_networks(&values->source->machine, &choice, out, error);
}

static const struct {
    struct str name;
    bool (*compute)(struct config_values *values, struct buf *out, struct error *error);
} computed_defaults[] = {
    { STR_INIT("myhostname"), default_myhostname },
    { STR_INIT("mydomain"), default_mydomain },
    { STR_INIT("mynetworks"), default_mynetworks },
};

/* Gives the value its text where its default depends on the machine. */
bool config_values_compute(struct config_values *values, struct config_value *value,
                           struct error *error)
{
    autofree_buf struct buf text = { 0 };

    for (size_t i = 0; i < sizeof computed_defaults / sizeof *computed_defaults; i++) {
        if (value->origin != VALUE_IS_DEFAULT || !str_is_empty(value->raw) ||
            !str_equal(computed_defaults[i].name, value->name))
            continue;
        /* A mydomain that refers to myhostname refers to itself when neither is set. */
        value->raw = STR("localdomain");
        if (!computed_defaults[i].compute(values, &text, error))
            return false;
        value->raw = arena_copy(&values->arena, buf_str(&text));
    }
    return true;
}

struct config_value *config_values_find(struct config_values *values, struct str name)
{
    struct config_value *value = map_find(values->by_name, name);
    struct str transport;

    if (value != NULL)
        return value;
    const struct parameter *parameter = parameter_find(name);
    if (parameter != NULL)
        return add(values, parameter->name, parameter->default_text);
    const struct transport_parameter *of_transport = transport_parameter_find(name, &transport);
    if (of_transport == NULL || !master_cf_has_name(&values->source->master_cf, transport))
        return NULL;
    return config_values_find(values, of_transport->default_name);
}

bool config_values_has_plain_default(const struct config_values *values,
                                     const struct parameter *parameter)
{
    return !str_is_empty(parameter->default_text) &&
           str_find_byte(parameter->default_text, '$') < 0 &&
           map_find(values->by_name, parameter->name) == NULL;
}

static bool find_for_expansion(void *argument, struct str name, struct expand_value *found)
{
    struct config_values *values = argument;
    struct config_value *value = config_values_find(values, name);
    struct error error;

    if (value == NULL || !config_values_compute(values, value, &error))
        return false;
    *found = (struct expand_value){
        .text = value->raw,
        .place = value->place,
    };
    return true;
}

static void report_undefined(void *argument, struct str name)
{
    const struct config_values *values = argument;

    if (values->undefined != NULL)
        values->undefined(values->undefined_argument, name);
}

bool config_values_expand_text(struct config_values *values, struct str name, struct str text,
                               struct buf *out, struct error *error)
{
    const struct expand_source source = { find_for_expansion, report_undefined, values };

    return expand(&source, name, text, out, error);
}

bool config_values_expand(struct config_values *values, struct config_value *value,
                          struct str *text, struct error *error)
{
    autofree_buf struct buf out = { 0 };

    if (!value->is_expanded) {
        if (!config_values_compute(values, value, error))
            return false;
        bool is_raw = value->parameter != NULL && value->parameter->type == PARAMETER_RAW;
        if (is_raw)
            buf_append(&out, value->raw);
        else if (!config_values_expand_text(values, value->name, value->raw, &out, error))
            return error_context(error, "%s: %.*s", value->place != NULL ? value->place : "default",
                                 STR_ARGS(value->name));
        value->expanded = arena_copy(&values->arena, buf_str(&out));
        value->is_expanded = true;
    }
    *text = value->expanded;
    return true;
}

/* One that cannot be expanded is like no other. */
static bool is_same(struct config_values *one, struct config_value *a, struct config_values *other,
                    struct config_value *b)
{
    struct error unused;
    struct str text, other_text;

    return b != NULL && config_values_expand(one, a, &text, &unused) &&
           config_values_expand(other, b, &other_text, &unused) && str_equal(text, other_text);
}

void config_values_compare(struct config_values *one, struct config_values *other,
                           void (*differs)(void *argument, const struct config_value *value),
                           void *argument)
{
    /* Put aside first: what a value refers to may get its place only when that is expanded. */
    struct config_value **all = memory_new_array(map_count(one->by_name), sizeof(*all));
    struct map_cursor cursor = { 0 };
    size_t count = 0;

    while (map_next(one->by_name, &cursor))
        all[count++] = cursor.value;
    for (size_t i = 0; i < count; i++)
        if (!is_same(one, all[i], other, config_values_find(other, all[i]->name)))
            differs(argument, all[i]);
    memory_free(all);
}
