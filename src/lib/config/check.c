/* SPDX-License-Identifier: Apache-2.0 */
#include "config/check.h"

#include "config/parameter.h"

struct checker {
    const struct config_source *source;
    void (*warning)(void *argument, const char *text);
    void *argument;
    struct arena scratch;
};

static const char separators[] = " \t\r\n,";

static bool is_name_byte(char byte)
{
    return ascii_is_alnum(byte) || byte == '_';
}

/* Whether a value contains $name, ${name…} or $(name…). */
static bool refers_to(struct str value, struct str name)
{
    for (size_t i = 0; i + name.len < value.len; i++) {
        if (value.ptr[i] != '$')
            continue;
        struct str rest = str_skip(value, i + 1);
        if (rest.len > 0 && (rest.ptr[0] == '{' || rest.ptr[0] == '('))
            rest = str_trim(str_skip(rest, 1));
        if (str_starts_with(rest, name) && (rest.len == name.len || !is_name_byte(rest.ptr[name.len])))
            return true;
    }
    return false;
}

/* Tables in SQL, LDAP and memcached may have their settings in main.cf: "mysql:users" makes
 * users_hosts and so on parameters. */
static bool names_table(struct str value, struct str name)
{
    static const char *const types[] = { "ldap", "mysql", "pgsql", "sqlite", "memcache", "mongodb" };
    struct str word;

    while (str_next_word(&value, " \t\r\n,{}", &word)) {
        if (str_starts_with(word, STR("proxy:")))
            word = str_skip(word, 6);
        struct str prefix = word, type = str_cut(&prefix, ":");
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            if (str_equal(type, str_from(types[i])) && !str_is_empty(prefix) &&
                str_starts_with(name, prefix) && name.len > prefix.len &&
                name.ptr[prefix.len] == '_')
                return true;
        }
    }
    return false;
}

static bool uses(struct str value, struct str name)
{
    return refers_to(value, name) || names_table(value, name);
}

static bool is_used_in_values(const struct config_source *source, struct str name)
{
    const struct main_cf *main_cf = &source->main_cf;
    const struct master_cf *master_cf = &source->master_cf;

    for (size_t i = 0; i < main_cf->count; i++) {
        if (uses(main_cf->assignments[i].value, name))
            return true;
    }
    for (size_t i = 0; i < master_cf->line_count; i++) {
        for (size_t j = 0; j < master_cf->lines[i].override_count; j++) {
            if (uses(master_cf->lines[i].overrides[j].value, name))
                return true;
        }
    }
    for (size_t i = 0; i < parameter_count; i++) {
        if (refers_to(parameters[i].default_text, name))
            return true;
    }
    return false;
}

static bool is_restriction_class(const struct config_source *source, struct str name)
{
    const struct main_cf_assignment *classes =
        main_cf_find(&source->main_cf, STR("smtpd_restriction_classes"));
    struct str rest = classes != NULL ? classes->value : STR(""), word;

    while (str_next_word(&rest, separators, &word)) {
        if (str_equal(word, name))
            return true;
    }
    return false;
}

static bool is_of_a_transport(const struct config_source *source, struct str name)
{
    struct str transport;

    return transport_parameter_find(name, &transport) != NULL &&
           master_cf_find(&source->master_cf, transport, SERVICE_UNIX) != NULL;
}

bool config_name_is_used(const struct config_source *source, struct str name)
{
    return parameter_find(name) != NULL || is_of_a_transport(source, name) ||
           is_restriction_class(source, name) || is_used_in_values(source, name);
}

static void check_unknown(struct checker *checker, const char *file, int line, struct str name,
                          struct str value)
{
    const struct parameter *nearest = parameter_nearest(name);
    const char *fate = parameter_removed(name);
    const char *advice = "";

    if (fate != NULL)
        advice = arena_printf(&checker->scratch, "; %s", fate);
    else if (nearest != NULL)
        advice = arena_printf(&checker->scratch, "; did you mean %.*s?", STR_ARGS(nearest->name));
    checker->warning(checker->argument,
                     arena_printf(&checker->scratch, "%s: unused parameter: %.*s=%.*s (line %d%s)",
                                  file, STR_ARGS(name), STR_ARGS(str_take(value, 200)), line,
                                  advice));
}

static void check_name(struct checker *checker, const char *file, int line, struct str name,
                       struct str value)
{
    const struct parameter *parameter = parameter_find(name);

    if (parameter == NULL && !config_name_is_used(checker->source, name))
        check_unknown(checker, file, line, name, value);
    else if (parameter == NULL && parameter_removed(name) != NULL)
        checker->warning(checker->argument,
                         arena_printf(&checker->scratch, "%s, line %d: %.*s: %s", file, line,
                                      STR_ARGS(name), parameter_removed(name)));
    else if (parameter != NULL && !parameter->is_honoured &&
             !str_equal(value, parameter->default_text))
        checker->warning(checker->argument,
                         arena_printf(&checker->scratch,
                                      "%s, line %d: %.*s is set, but not honoured yet", file, line,
                                      STR_ARGS(name)));
}

static void check_main_cf(struct checker *checker)
{
    const struct main_cf *main_cf = &checker->source->main_cf;

    for (size_t i = 0; i < main_cf->note_count; i++)
        checker->warning(checker->argument, main_cf->notes[i].text);
    for (size_t i = 0; i < main_cf->count; i++) {
        const struct main_cf_assignment *each = &main_cf->assignments[i];
        const struct main_cf_assignment *last = main_cf_find(main_cf, each->name);
        if (last == each)
            check_name(checker, each->file, each->line, each->name, each->value);
        else
            checker->warning(checker->argument,
                             arena_printf(&checker->scratch,
                                          "%s, line %d: %.*s is set again in line %d, which counts",
                                          each->file, each->line, STR_ARGS(each->name),
                                          last->line));
    }
}

static void check_service(struct checker *checker, const struct master_service *service)
{
    for (size_t i = 0; i < service->override_count; i++) {
        const struct service_override *override = &service->overrides[i];
        const struct parameter *parameter = parameter_find(override->name);
        check_name(checker, service->file, service->line, override->name, override->value);
        if (parameter != NULL && parameter->scope == PARAMETER_GLOBAL)
            checker->warning(
                checker->argument,
                arena_printf(&checker->scratch,
                             "%s, line %d: -o %.*s has no effect, because it is one for all "
                             "services; set it in main.cf",
                             service->file, service->line, STR_ARGS(override->name)));
    }
}

static void check_master_cf(struct checker *checker)
{
    const struct master_cf *master_cf = &checker->source->master_cf;

    for (size_t i = 0; i < master_cf->line_count; i++) {
        const struct master_service *line = &master_cf->lines[i];
        const struct master_service *last = master_cf_find(master_cf, line->name, line->type);
        check_service(checker, line);
        if (last->line != line->line)
            checker->warning(checker->argument,
                             arena_printf(&checker->scratch,
                                          "%s, line %d: service %.*s %s is there again in line %d, "
                                          "which counts",
                                          line->file, line->line, STR_ARGS(line->name),
                                          service_type_name(line->type), last->line));
    }
}

void config_check_names(const struct config_source *source,
                        void (*warning)(void *argument, const char *text), void *argument)
{
    struct checker checker = { .source = source, .warning = warning, .argument = argument };

    check_main_cf(&checker);
    check_master_cf(&checker);
    arena_clear(&checker.scratch);
}
