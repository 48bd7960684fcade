/* SPDX-License-Identifier: Apache-2.0 */
#include "config/check.h"

#include "config/parameter.h"

#include <stdarg.h>

struct checker {
    const struct config_source *source;
    void (*warning)(void *argument, const char *text);
    void *argument;
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
        if (str_starts_with(rest, name) &&
            (rest.len == name.len || !is_name_byte(rest.ptr[name.len])))
            return true;
    }
    return false;
}

/* Tables in SQL, LDAP and memcached may have their settings in main.cf: "mysql:users" makes
 * users_hosts and so on parameters. */
static bool names_table(struct str value, struct str name)
{
    static const char *const types[] = {
        "ldap", "mysql", "pgsql", "sqlite", "memcache", "mongodb",
    };
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
           master_cf_has_name(&source->master_cf, transport);
}

bool config_name_is_used(const struct config_source *source, struct str name)
{
    return parameter_find(name) != NULL || is_of_a_transport(source, name) ||
           is_restriction_class(source, name) || is_used_in_values(source, name);
}

static __attribute__((format(printf, 2, 3))) void warn(struct checker *checker,
                                                       const char *format, ...)
{
    autofree_buf struct buf text = { 0 };
    va_list arguments;

    va_start(arguments, format);
    buf_vprintf(&text, format, arguments);
    va_end(arguments);
    checker->warning(checker->argument, buf_text(&text));
}

/* A name that is set, with its place. */
struct setting {
    const char *file;
    int line;
    struct str name, value;
};

/* Calls `check` for each name that is set: once for main.cf, and for each service. */
static void each_setting(struct checker *checker,
                         void (*check)(struct checker *checker, const struct setting *setting))
{
    const struct main_cf *main_cf = &checker->source->main_cf;
    const struct master_cf *master_cf = &checker->source->master_cf;

    for (size_t i = 0; i < main_cf->count; i++) {
        const struct main_cf_assignment *each = &main_cf->assignments[i];
        if (main_cf_find(main_cf, each->name) == each)
            check(checker, &(struct setting){ each->file, each->line, each->name, each->value });
    }
    for (size_t i = 0; i < master_cf->line_count; i++) {
        const struct master_service *service = &master_cf->lines[i];
        for (size_t j = 0; j < service->override_count; j++)
            check(checker, &(struct setting){ service->file, service->line,
                                              service->overrides[j].name,
                                              service->overrides[j].value });
    }
}

static void check_unused(struct checker *checker, const struct setting *setting)
{
    const struct parameter *nearest;
    const char *fate;

    if (config_name_is_used(checker->source, setting->name))
        return;
    fate = parameter_removed(setting->name);
    nearest = fate == NULL ? parameter_nearest(setting->name) : NULL;
    warn(checker, "%s: unused parameter: %.*s=%.*s (line %d%s%s%s%.*s%s)", setting->file,
         STR_ARGS(setting->name), STR_ARGS(str_take(setting->value, 200)), setting->line,
         fate != NULL ? "; " : "", fate != NULL ? fate : "",
         nearest != NULL ? "; did you mean " : "",
         nearest != NULL ? (int)nearest->name.len : 0, nearest != NULL ? nearest->name.ptr : "",
         nearest != NULL ? "?" : "");
}

static void check_honoured(struct checker *checker, const struct setting *setting)
{
    const struct parameter *parameter = parameter_find(setting->name);
    const char *fate = parameter_removed(setting->name);

    if (parameter == NULL && fate != NULL && config_name_is_used(checker->source, setting->name))
        warn(checker, "%s, line %d: %.*s: %s", setting->file, setting->line,
             STR_ARGS(setting->name), fate);
    if (parameter != NULL && !parameter->is_honoured &&
        !str_equal(setting->value, parameter->default_text))
        warn(checker, "%s, line %d: %.*s is set, but not honoured yet", setting->file,
             setting->line, STR_ARGS(setting->name));
}

static void check_overrides(struct checker *checker, const struct master_service *service)
{
    for (size_t i = 0; i < service->override_count; i++) {
        const struct parameter *parameter = parameter_find(service->overrides[i].name);
        if (parameter != NULL && parameter->scope == PARAMETER_GLOBAL)
            warn(checker,
                 "%s, line %d: -o %.*s has no effect, because it is one for all services; set it "
                 "in main.cf",
                 service->file, service->line, STR_ARGS(parameter->name));
    }
}

void config_check_lines(const struct config_source *source,
                        void (*warning)(void *argument, const char *text), void *argument)
{
    struct checker checker = { source, warning, argument };
    const struct main_cf *main_cf = &source->main_cf;
    const struct master_cf *master_cf = &source->master_cf;

    for (size_t i = 0; i < main_cf->note_count; i++)
        warning(argument, main_cf->notes[i].text);
    for (size_t i = 0; i < main_cf->count; i++) {
        const struct main_cf_assignment *each = &main_cf->assignments[i];
        const struct main_cf_assignment *last = main_cf_find(main_cf, each->name);
        if (last != each)
            warn(&checker, "%s, line %d: %.*s is set again in line %d, which counts", each->file,
                 each->line, STR_ARGS(each->name), last->line);
    }
    for (size_t i = 0; i < master_cf->line_count; i++) {
        const struct master_service *line = &master_cf->lines[i];
        const struct master_service *last = master_cf_find(master_cf, line->name, line->type);
        if (last->line != line->line)
            warn(&checker, "%s, line %d: service %.*s %s is there again in line %d, which counts",
                 line->file, line->line, STR_ARGS(line->name), service_type_name(line->type),
                 last->line);
    }
}

void config_check_unused(const struct config_source *source,
                         void (*warning)(void *argument, const char *text), void *argument)
{
    struct checker checker = { source, warning, argument };

    each_setting(&checker, check_unused);
}

void config_check_honoured(const struct config_source *source,
                           void (*warning)(void *argument, const char *text), void *argument)
{
    struct checker checker = { source, warning, argument };

    each_setting(&checker, check_honoured);
    for (size_t i = 0; i < source->master_cf.line_count; i++)
        check_overrides(&checker, &source->master_cf.lines[i]);
}

void config_check_names(const struct config_source *source,
                        void (*warning)(void *argument, const char *text), void *argument)
{
    config_check_lines(source, warning, argument);
    config_check_unused(source, warning, argument);
    config_check_honoured(source, warning, argument);
}
