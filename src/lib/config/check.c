/* SPDX-License-Identifier: Apache-2.0 */
#include "config/check.h"

#include "config/parameter.h"
#include "config/usage.h"

#include <stdarg.h>

struct checker {
    const struct config_source *source;
    struct config_usage *usage;
    void (*warning)(void *argument, const char *text);
    void *argument;
    int guess_count;
};

/* Guessing what was meant is slow; a file full of nonsense needs no guesses. */
enum { GUESS_LIMIT = 100 };

static __attribute__((format(printf, 2, 3))) void warn(struct checker *checker, const char *format,
                                                       ...)
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
        if (config_usage_assignment(checker->usage, each->name) == each)
            check(checker, &(struct setting){ each->file, each->line, each->name, each->value });
    }
    for (size_t i = 0; i < master_cf->line_count; i++) {
        const struct master_service *service = &master_cf->lines[i];
        for (size_t j = 0; j < service->override_count; j++)
            check(checker,
                  &(struct setting){ service->file, service->line, service->overrides[j].name,
                                     service->overrides[j].value });
    }
}

static void check_unused(struct checker *checker, const struct setting *setting)
{
    const struct parameter *nearest;
    const char *fate;

    if (config_usage_has(checker->usage, setting->name))
        return;
    fate = parameter_removed(setting->name);
    nearest = fate == NULL && checker->guess_count++ < GUESS_LIMIT
                  ? parameter_nearest(setting->name)
                  : NULL;
    warn(checker, "%s: unused parameter: %.*s=%.*s (line %d%s%s%s%.*s%s)", setting->file,
         STR_ARGS(setting->name), STR_ARGS(str_take(setting->value, 200)), setting->line,
         fate != NULL ? "; " : "", fate != NULL ? fate : "",
         nearest != NULL ? "; did you mean " : "", nearest != NULL ? (int)nearest->name.len : 0,
         nearest != NULL ? nearest->name.ptr : "", nearest != NULL ? "?" : "");
}

static void check_honoured(struct checker *checker, const struct setting *setting)
{
    const struct parameter *parameter = parameter_find(setting->name);
    const char *fate = parameter_removed(setting->name);

    if (parameter == NULL && fate != NULL && config_usage_has(checker->usage, setting->name))
        warn(checker, "%s, line %d: %.*s: %s", setting->file, setting->line,
             STR_ARGS(setting->name), fate);
    if (parameter != NULL && parameter->mark != PARAMETER_HONOURED &&
        !str_equal(setting->value, parameter->default_text))
        warn(checker, "%s, line %d: %.*s is set, but %s", setting->file, setting->line,
             STR_ARGS(setting->name),
             parameter->mark == PARAMETER_NO_USE ? "has no use in Waypost" : "not honoured yet");
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

/* The programs of Postfix; what else a line may name is nothing that we could run. */
static bool is_known_command(struct str command)
{
    static const char *const commands[] = {
        "anvil",    "bounce",   "cleanup", "discard", "dnsblog",         "error",    "flush",
        "lmtp",     "local",    "nqmgr",   "oqmgr",   "nbdb_reindexd",   "pickup",   "pipe",
        "postlogd", "proxymap", "qmgr",    "qmqpd",   "postscreen",      "scache",   "showq",
        "smtp",     "smtpd",    "spawn",   "tlsmgr",  "trivial-rewrite", "tlsproxy", "verify",
        "virtual",
    };

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (str_equal(command, str_from(commands[i])))
            return true;
    return false;
}

static void check_command(struct checker *checker, const struct master_service *service)
{
    if (!is_known_command(service->command))
        warn(checker,
             "%s, line %d: service %.*s: there is no program \"%.*s\"; the others go on without it",
             service->file, service->line, STR_ARGS(service->name), STR_ARGS(service->command));
    else if (service->type == SERVICE_INET && !str_equal(service->command, STR("smtpd")))
        warn(checker, "%s, line %d: nothing listens on %.*s, because %.*s is not built yet",
             service->file, service->line, STR_ARGS(service->name), STR_ARGS(service->command));
}

void config_check_lines(const struct config_source *source,
                        void (*warning)(void *argument, const char *text), void *argument)
{
    struct checker checker = { source, config_usage_new(source), warning, argument, 0 };
    const struct main_cf *main_cf = &source->main_cf;
    const struct master_cf *master_cf = &source->master_cf;

    for (size_t i = 0; i < main_cf->note_count; i++)
        warning(argument, main_cf->notes[i].text);
    for (size_t i = 0; i < main_cf->count; i++) {
        const struct main_cf_assignment *each = &main_cf->assignments[i];
        const struct main_cf_assignment *last = config_usage_assignment(checker.usage, each->name);
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
    config_usage_free(&checker.usage);
}

void config_check_unused(const struct config_source *source,
                         void (*warning)(void *argument, const char *text), void *argument)
{
    struct checker checker = { source, config_usage_new(source), warning, argument, 0 };

    each_setting(&checker, check_unused);
    config_usage_free(&checker.usage);
}

void config_check_honoured(const struct config_source *source,
                           void (*warning)(void *argument, const char *text), void *argument)
{
    struct checker checker = { source, config_usage_new(source), warning, argument, 0 };

    each_setting(&checker, check_honoured);
    for (size_t i = 0; i < source->master_cf.line_count; i++) {
        check_overrides(&checker, &source->master_cf.lines[i]);
        check_command(&checker, &source->master_cf.lines[i]);
    }
    config_usage_free(&checker.usage);
}

void config_check_names(const struct config_source *source,
                        void (*warning)(void *argument, const char *text), void *argument)
{
    config_check_lines(source, warning, argument);
    config_check_unused(source, warning, argument);
    config_check_honoured(source, warning, argument);
}
