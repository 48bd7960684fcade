/* SPDX-License-Identifier: Apache-2.0 */
/* From the text of a restriction list to its rules. */
#include "policy_service.h"
#include "restrictions_inside.h"

/* Postfix had these once; a configuration that still names them is told so. */
static const struct removed_name {
    const char *name, *instead;
} removed_names[] = {
    { "check_relay_domains", "permit_mynetworks, permit_sasl_authenticated, "
                             "reject_unauth_destination" },
    { "permit_naked_ip_address", "permit_mynetworks or permit_sasl_authenticated" },
    { "reject_maps_rbl", "reject_rbl_client with a domain name" },
};

/* Built elsewhere, later. */
static const char *const later_names[] = {
    "check_ccert_access",
    "permit_tls_all_clientcerts",
    "permit_tls_clientcerts",
};

static bool refuse_name(const char *parameter, struct str name, struct error *error)
{
    for (size_t i = 0; i < sizeof later_names / sizeof later_names[0]; i++) {
        if (str_equal_fold(name, str_from(later_names[i])))
            return error_set(error,
                             "parameter %s: \"%.*s\" is not built yet; take it out of the list to "
                             "start without it",
                             parameter, STR_ARGS(name));
    }
    for (size_t i = 0; i < sizeof removed_names / sizeof removed_names[0]; i++) {
        if (str_equal_fold(name, str_from(removed_names[i].name)))
            return error_set(error, "parameter %s: \"%.*s\" is no longer supported; use %s",
                             parameter, STR_ARGS(name), removed_names[i].instead);
    }
    return error_set(error, "parameter %s: unknown smtpd restriction: \"%.*s\"", parameter,
                     STR_ARGS(name));
}

/* The next word; a { … } with what is in it, blanks too, is one. */
static bool next_word(struct str *rest, struct str *word)
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

static const struct restriction_class *class_find(const struct restrictions *restrictions,
                                                  struct str name)
{
    for (size_t i = 0; i < restrictions->class_count; i++) {
        if (str_equal_fold(restrictions->classes[i].name, name))
            return &restrictions->classes[i];
    }
    return NULL;
}

/* What one word is: a class, a table, or a name of the table of rules. False: none of them. */
static bool find_kind(const struct restrictions *restrictions, struct str word, struct rule *rule)
{
    const struct restriction_class *class = class_find(restrictions, word);

    *rule = (struct rule){ 0 };
    if (class != NULL) {
        rule->kind = &rule_kind_class;
        rule->argument = class->name;
        rule->list = &class->list;
    } else if (table_is_specification(word)) {
        rule->kind = &rule_kind_table;
        rule->argument = word;
    } else {
        rule->kind = rule_kind_find(word);
    }
    return rule->kind != NULL;
}

/* ---- before confinement ---- */

static bool argument_is_sound(const char *parameter, struct rule *rule, struct error *error)
{
    uint64_t seconds;

    switch (rule->kind->argument) {
    case ARGUMENT_NONE:
        return true;
    case ARGUMENT_TABLE:
        return table_is_specification(rule->argument) ||
               error_set(error,
                         "parameter %s: restriction %s: bad argument \"%.*s\": need "
                         "maptype:mapname",
                         parameter, rule->kind->name, STR_ARGS(rule->argument));
    case ARGUMENT_SERVICE:
        return str_find_byte(rule->argument, ':') >= 0 ||
               error_set(error, "parameter %s: restriction %s must be followed by transport:server",
                         parameter, rule->kind->name);
    case ARGUMENT_DOMAIN:
        return !str_is_empty(rule->argument) && rule_kind_find(rule->argument) == NULL
                   ? true
                   : error_set(error, "parameter %s: restriction %s requires domain name argument",
                               parameter, rule->kind->name);
    case ARGUMENT_SECONDS:
        if (!str_to_u64(rule->argument, &seconds) || seconds > 3600)
            return error_set(error, "parameter %s: restriction %s must be followed by number",
                             parameter, rule->kind->name);
        rule->seconds = (unsigned)seconds;
        return true;
    }
    return false;
}

static bool open_argument(struct restrictions *restrictions, const char *parameter,
                          struct rule *rule, struct error *error)
{
    if (!argument_is_sound(parameter, rule, error))
        return false;
    rule->argument = arena_copy(&restrictions->arena, rule->argument);
    if (rule->kind->argument == ARGUMENT_TABLE)
        rule->map = lookup_maps_open(restrictions->options.maps, rule->argument);
    if (rule->kind->argument == ARGUMENT_SERVICE) {
        rule->service = policy_services_open(restrictions->services, rule->argument, error);
        if (rule->service == NULL)
            return error_context(error, "parameter %s", parameter);
    }
    return true;
}

static void warn_ignored(const struct restrictions *restrictions, const char *parameter,
                         struct str word, const struct rule_kind *last)
{
    autoclear_arena struct arena scratch = { 0 };

    restrictions->options.warning(restrictions->options.argument,
                                  arena_printf(&scratch,
                                               "%s: restriction `%.*s' after `%s' is ignored",
                                               parameter, STR_ARGS(word), last->name));
}

bool rules_parse(struct restrictions *restrictions, const struct parse_request *request,
                 struct rule_list *list, struct error *error)
{
    struct str rest = request->text;
    struct str word;
    const struct rule_kind *last = NULL; /* a final one, once there was one */

    /* A rule has at least one byte and a separator. */
    list->rules = arena_new_array(&restrictions->arena, rest.len / 2 + 1, sizeof *list->rules);
    while (next_word(&rest, &word)) {
        struct rule *rule = &list->rules[list->count];
        if (!find_kind(restrictions, word, rule))
            return refuse_name(request->parameter, word, error);
        if (rule->kind->argument != ARGUMENT_NONE && str_is_empty(rule->argument) &&
            !next_word(&rest, &rule->argument))
            rule->argument = STR("");
        if (last != NULL) {
            warn_ignored(restrictions, request->parameter, word, last);
            continue;
        }
        if (!open_argument(restrictions, request->parameter, rule, error))
            return false;
        list->count++;
        list->has_guard |= rule->kind->is_guard || (rule->list != NULL && rule->list->has_guard);
        if (rule->kind->is_final)
            last = rule->kind;
    }
    return true;
}

/* ---- what a table says ---- */

void rules_parse_result(const struct restrictions *restrictions, struct arena *arena,
                        const struct parse_request *request, struct rule_list *list)
{
    struct str rest = request->text;
    struct str word;
    struct error error;

    *list = (struct rule_list){
        .rules = arena_new_array(arena, rest.len / 2 + 1, sizeof *list->rules),
    };
    while (next_word(&rest, &word)) {
        struct rule *rule = &list->rules[list->count++];
        if (!find_kind(restrictions, word, rule)) {
            *rule = (struct rule){ .kind = &rule_kind_unknown, .argument = word };
            continue;
        }
        if (rule->kind->argument != ARGUMENT_NONE && str_is_empty(rule->argument) &&
            !next_word(&rest, &rule->argument))
            rule->argument = STR("");
        if (rule->kind->argument == ARGUMENT_SERVICE)
            rule->service = policy_services_find(restrictions->services, rule->argument);
        /* Tables are not opened here: neither may they be named in Postfix. */
        if (!argument_is_sound(request->parameter, rule, &error) ||
            rule->kind->argument == ARGUMENT_TABLE ||
            (rule->kind->argument == ARGUMENT_SERVICE && rule->service == NULL))
            *rule = (struct rule){ .kind = &rule_kind_unknown, .argument = word };
    }
}
