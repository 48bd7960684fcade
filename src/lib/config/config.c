/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "base/ensure.h"
#include "base/memory.h"
#include "config/parameter.h"
#include "config/value.h"
#include "config/values.h"

#include <limits.h>

struct builder {
    struct config *config;
    void (*warning)(void *argument, const char *text);
    void *argument;
    struct error *error;
};

/* Where a value is written, for messages. */
static const char *place_of(const struct config_value *value)
{
    return value->place != NULL ? value->place : "default";
}

static struct str drop_comment(struct builder *builder, const struct config_value *value,
                               struct str text)
{
    struct str word = value_without_comment(text);

    if (word.len != text.len && builder->warning != NULL)
        builder->warning(builder->argument,
                         arena_printf(&builder->config->arena,
                                      "%s: %.*s = %.*s: a comment cannot stand behind a value; "
                                      "%.*s counts here, but Postfix takes the comment for a part "
                                      "of the value: give it a line of its own",
                                      place_of(value), STR_ARGS(value->name), STR_ARGS(text),
                                      STR_ARGS(word)));
    return word;
}

/* The few parameters for which a number below zero, or zero, means something else. */
static int64_t least_of(const struct parameter *parameter)
{
    static const struct {
        const char *name;
        int least;
    } exceptions[] = {
        { "postscreen_dnsbl_allowlist_threshold", INT_MIN },
        { "smtpd_recipient_limit", 1 },
        { "hopcount_limit", 1 },
        { "default_process_limit", 1 },
        { "smtpd_hard_error_limit", 1 },
        { "smtpd_soft_error_limit", 1 },
        { "qmgr_message_active_limit", 1 },
        { "qmgr_message_recipient_limit", 1 },
    };

    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++) {
        if (str_equal(parameter->name, str_from(exceptions[i].name)))
            return exceptions[i].least;
    }
    return 0;
}

static bool parse_into(const struct parameter *parameter, struct str text, void *field,
                       struct error *error)
{
    int64_t number;

    switch (parameter->type) {
    case PARAMETER_TEXT:
    case PARAMETER_RAW:
        *(struct str *)field = text;
        return true;
    case PARAMETER_BOOL:
        return value_to_bool(text, field, error);
    case PARAMETER_COUNT:
        if (!value_to_number(text, least_of(parameter), INT_MAX, &number, error))
            return false;
        *(int *)field = (int)number;
        return true;
    case PARAMETER_SIZE:
        return value_to_number(text, least_of(parameter), INT64_MAX, field, error);
    case PARAMETER_TIME:
        return value_to_seconds(text, parameter_time_unit(parameter), field, error);
    }
    unreachable();
}

static bool fill_field(struct builder *builder, const struct parameter *parameter)
{
    struct config *config = builder->config;
    void *field = (char *)config + parameter->offset;
    struct str text;

    if (config_values_has_plain_default(config->values, parameter))
        return parse_into(parameter, parameter->default_text, field, builder->error);
    struct config_value *value = config_values_find(config->values, parameter->name);
    if (!config_values_expand(config->values, value, &text, builder->error))
        return false;
    if (parameter_is_one_word(parameter))
        text = drop_comment(builder, value, text);
    return parse_into(parameter, text, field, builder->error) ||
           error_context(builder->error, "%s: %.*s", place_of(value), STR_ARGS(parameter->name));
}

struct config *config_new(const struct config_source *source, const struct master_service *service,
                          void (*warning)(void *argument, const char *text), void *argument,
                          struct error *error)
{
    struct config *config = memory_new(sizeof *config);
    struct builder builder = { config, warning, argument, error };

    config->source = source;
    config->service = service;
    config->values = config_values_new(source, service);
    for (size_t i = 0; i < parameter_count; i++) {
        if (!fill_field(&builder, &parameters[i])) {
            config_free(&config);
            return NULL;
        }
    }
    return config;
}

void config_free(struct config **config)
{
    if (*config == NULL)
        return;
    if ((*config)->lender == NULL)
        config_values_free(&(*config)->values);
    arena_clear(&(*config)->arena);
    memory_free(*config);
    *config = NULL;
}

/* The value of a transport's parameter, and the parameter that says of what kind it is. */
static bool transport_value(const struct config *config, struct str transport, const char *suffix,
                            struct str *text, const struct parameter **kind, struct error *error)
{
    autofree_buf struct buf name = { 0 };
    struct str name_of_transport;

    buf_printf(&name, "%.*s_%s", STR_ARGS(transport), suffix);
    const struct transport_parameter *parameter =
        transport_parameter_find(buf_str(&name), &name_of_transport);
    if (parameter == NULL)
        return error_set(error, "no transport has a parameter \"%s\"", suffix);
    struct config_value *value = config_values_find(config->values, buf_str(&name));
    if (value == NULL)
        value = config_values_find(config->values, parameter->default_name);
    *kind = parameter_find(parameter->default_name);
    if (!config_values_expand(config->values, value, text, error))
        return false;
    if (parameter_is_one_word(*kind))
        *text = value_without_comment(*text);
    return true;
}

bool config_transport_number(const struct config *config, struct str transport, const char *suffix,
                             int64_t *value, struct error *error)
{
    const struct parameter *kind;
    struct str text;
    int count = 0;

    if (!transport_value(config, transport, suffix, &text, &kind, error))
        return false;
    void *field = kind->type == PARAMETER_COUNT ? (void *)&count : (void *)value;
    if (kind->type != PARAMETER_COUNT && kind->type != PARAMETER_TIME &&
        kind->type != PARAMETER_SIZE)
        return error_set(error, "%.*s_%s is no number", STR_ARGS(transport), suffix);
    if (!parse_into(kind, text, field, error))
        return error_context(error, "%.*s_%s", STR_ARGS(transport), suffix);
    if (kind->type == PARAMETER_COUNT)
        *value = count;
    return true;
}

bool config_transport_text(const struct config *config, struct str transport, const char *suffix,
                           struct str *value, struct error *error)
{
    const struct parameter *kind;

    return transport_value(config, transport, suffix, value, &kind, error);
}

bool config_find(const struct config *config, struct str name, struct str *value)
{
    struct config_value *found = config_values_find(config->values, name);
    struct error error;

    return found != NULL && config_values_expand(config->values, found, value, &error);
}

bool config_is_set(const struct config *config, struct str name)
{
    const struct config_value *found = config_values_find(config->values, name);

    return found != NULL && found->origin != VALUE_IS_DEFAULT;
}
