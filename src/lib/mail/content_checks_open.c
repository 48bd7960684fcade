/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/content_checks_inside.h"

#include "base/memory.h"

static void warn(void *argument, const char *text)
{
    const struct content_checks *checks = argument;

    log_warning(&checks->log, "%s", text);
}

/* Whether something is looked for in all of the content, whatever the tables. */
static bool wants_all(const struct content_checks *checks)
{
    return !character_rules_are_empty(&checks->characters) || checks->refuses_8bit_headers ||
           checks->refuses_8bit_bodies || checks->refuses_coded_parts;
}

static bool has_any(const struct content_checks *checks)
{
    if (wants_all(checks))
        return true;
    for (size_t i = 0; i < CHECK_KINDS; i++)
        if (!table_list_is_empty(checks->tables[i]))
            return true;
    return false;
}

struct named_tables {
    struct str name, text;
};

/* What concerns mail that comes in alone. */
static void set_strictness(struct content_checks *checks, const struct config *config)
{
    bool has_mime = !config->disable_mime_input_processing;
    bool is_strict = config->strict_8bitmime;

    checks->characters =
        character_rules_parse(config->message_reject_characters, config->message_strip_characters);
    checks->refuses_8bit_headers = has_mime && (is_strict || config->strict_7bit_headers);
    checks->refuses_8bit_bodies = has_mime && (is_strict || config->strict_8bitmime_body);
    checks->refuses_coded_parts = has_mime && config->strict_mime_encoding_domain;
    checks->looks_into_parts = has_mime;
}

static struct content_checks *make(const struct config *config, const struct log_context *log,
                                   const struct named_tables parameters[CHECK_KINDS],
                                   bool is_for_delivery, struct content_checks *old)
{
    struct content_checks *checks = memory_new(sizeof *checks);
    struct table_options options = { .warning = warn, .argument = checks };

    checks->log = *log;
    checks->body_bytes = config->body_checks_size_limit > 0
                             ? (uint64_t)config->body_checks_size_limit
                             : UINT64_MAX; /* as in Postfix */
    checks->is_for_delivery = is_for_delivery;
    if (is_for_delivery)
        checks->looks_into_parts = true;
    else
        set_strictness(checks, config);
    checks->limits = (struct mime_limits){
        .nesting = (size_t)config->mime_nesting_limit,
        .boundary_bytes = (size_t)config->mime_boundary_length_limit,
        .header_bytes = (size_t)config->header_size_limit,
        .line_bytes = (size_t)config->line_length_limit,
    };
    for (size_t i = 0; i < CHECK_KINDS; i++)
        checks->tables[i] = table_list_new(parameters[i].name, parameters[i].text, &options,
                                           old != NULL ? old->tables[i] : NULL);
    if (!has_any(checks))
        content_checks_free(&checks);
    return checks;
}

struct content_checks *content_checks_new(const struct config *config,
                                          const struct log_context *log, struct content_checks *old)
{
    const struct named_tables parameters[CHECK_KINDS] = {
        [CHECK_HEADERS] = { STR("header_checks"), config->header_checks },
        [CHECK_MIME_HEADERS] = { STR("mime_header_checks"), config->mime_header_checks },
        [CHECK_NESTED_HEADERS] = { STR("nested_header_checks"), config->nested_header_checks },
        [CHECK_BODY] = { STR("body_checks"), config->body_checks },
    };

    return make(config, log, parameters, false, old);
}

struct content_checks *content_checks_new_for_delivery(const struct config *config,
                                                       const struct log_context *log)
{
    const struct named_tables parameters[CHECK_KINDS] = {
        [CHECK_HEADERS] = { STR("smtp_header_checks"), config->smtp_header_checks },
        [CHECK_MIME_HEADERS] = { STR("smtp_mime_header_checks"), config->smtp_mime_header_checks },
        [CHECK_NESTED_HEADERS] = { STR("smtp_nested_header_checks"),
                                   config->smtp_nested_header_checks },
        [CHECK_BODY] = { STR("smtp_body_checks"), config->smtp_body_checks },
    };

    return make(config, log, parameters, true, NULL);
}

bool content_checks_want_body(const struct content_checks *checks)
{
    return !table_list_is_empty(checks->tables[CHECK_MIME_HEADERS]) ||
           !table_list_is_empty(checks->tables[CHECK_NESTED_HEADERS]) ||
           !table_list_is_empty(checks->tables[CHECK_BODY]) || wants_all(checks);
}

void content_checks_free(struct content_checks **checks)
{
    if (*checks == NULL)
        return;
    for (size_t i = 0; i < CHECK_KINDS; i++)
        table_list_free(&(*checks)->tables[i]);
    memory_free(*checks);
    *checks = NULL;
}
