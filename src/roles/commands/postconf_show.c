/* SPDX-License-Identifier: Apache-2.0 */
/* postconf: parameters of main.cf, as set, by default, or expanded. */
#include "postconf.h"
#include "waypost_build.h"

#include <stdlib.h>

struct names {
    struct str *items;
    size_t count, capacity;
    struct arena arena;
};

static void add_name(struct names *names, struct str name)
{
    if (names->count == names->capacity) {
        names->capacity = names->capacity * 2 + 256;
        struct str *larger = arena_new_array(&names->arena, names->capacity, sizeof *larger);
        if (names->count > 0)
            memcpy(larger, names->items, names->count * sizeof *larger);
        names->items = larger;
    }
    names->items[names->count++] = arena_copy(&names->arena, name);
}

/* Which parameters Postfix gives to a service of its own accord: those of a delivery agent to what
 * runs one, and a time limit to what runs somebody else's program. */
static bool has_parameter(const struct master_service *service,
                          const struct transport_parameter *parameter)
{
    static const char *const agents[] = { "smtp", "lmtp", "local", "virtual", "pipe", "error" };
    bool is_time_limit = str_equal(parameter->suffix, STR("_time_limit"));

    if (is_time_limit)
        return str_equal(service->command, STR("pipe")) ||
               str_equal(service->command, STR("spawn"));
    for (size_t i = 0; i < sizeof agents / sizeof *agents; i++)
        if (str_equal(service->command, str_from(agents[i])))
            return true;
    return false;
}

static void add_service_names(const struct postconf *postconf, struct names *names)
{
    const struct master_cf *master_cf = &postconf->tool.source.master_cf;

    for (size_t i = 0; i < master_cf->count; i++) {
        const struct master_service *service = &master_cf->services[i];
        for (size_t j = 0; j < transport_parameter_count; j++) {
            autofree_buf struct buf name = { 0 };
            buf_printf(&name, "%.*s%.*s", STR_ARGS(service->name),
                       STR_ARGS(transport_parameters[j].suffix));
            if (has_parameter(service, &transport_parameters[j]) &&
                parameter_find(buf_str(&name)) == NULL)
                add_name(names, buf_str(&name));
        }
    }
}

/* The default of a transport's parameter, "$default_…"; false when the name is of no transport. */
static bool transport_default(const struct postconf *postconf, struct str name, struct buf *text)
{
    const struct master_cf *master_cf = &postconf->tool.source.master_cf;
    struct str transport;
    const struct transport_parameter *parameter = transport_parameter_find(name, &transport);

    for (size_t i = 0; parameter != NULL && i < master_cf->count; i++) {
        if (str_equal(master_cf->services[i].name, transport) &&
            has_parameter(&master_cf->services[i], parameter)) {
            buf_printf(text, "$%.*s", STR_ARGS(parameter->default_name));
            return true;
        }
    }
    return false;
}

static void add_user_names(const struct postconf *postconf, struct names *names)
{
    const struct main_cf *main_cf = &postconf->tool.source.main_cf;

    for (size_t i = 0; i < main_cf->count; i++) {
        const struct main_cf_assignment *each = &main_cf->assignments[i];
        autofree_buf struct buf unused = { 0 };
        if (config_usage_assignment(postconf->usage, each->name) == each &&
            parameter_find(each->name) == NULL &&
            !transport_default(postconf, each->name, &unused) &&
            config_usage_has(postconf->usage, each->name))
            add_name(names, each->name);
    }
}

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static void collect_all(const struct postconf *postconf, struct names *names)
{
    for (size_t i = 0; (postconf->class & POSTCONF_BUILTIN) != 0 && i < parameter_count; i++)
        add_name(names, parameters[i].name);
    if ((postconf->class & POSTCONF_SERVICE) != 0)
        add_service_names(postconf, names);
    if ((postconf->class & POSTCONF_USER) != 0)
        add_user_names(postconf, names);
    if (names->count == 0)
        return;
    qsort(names->items, names->count, sizeof *names->items, compare_names);
    size_t kept = 1;
    for (size_t i = 1; i < names->count; i++)
        if (!str_equal(names->items[i], names->items[kept - 1]))
            names->items[kept++] = names->items[i];
    names->count = kept;
}

static bool is_known(const struct postconf *postconf, struct str name)
{
    autofree_buf struct buf unused = { 0 };

    return parameter_find(name) != NULL || transport_default(postconf, name, &unused) ||
           (config_usage_assignment(postconf->usage, name) != NULL &&
            config_usage_has(postconf->usage, name));
}

static void collect_named(const struct postconf *postconf, struct names *names)
{
    for (int i = 0; i < postconf->word_count; i++) {
        struct str name = str_from(postconf->words[i]);
        if (is_known(postconf, name))
            add_name(names, name);
        else
            tool_warn(&postconf->tool, "%.*s: unknown parameter", STR_ARGS(name));
    }
}

/* The unexpanded value to show; false when there is none to show. */
static bool find_raw(struct postconf *postconf, struct str name, struct buf *raw,
                     struct error *error)
{
    struct config_value *value = config_values_find(postconf->values, name);
    bool is_folder = str_equal(name, STR("config_directory"));
    bool is_set = value != NULL && str_equal(value->name, name) &&
                  value->origin != VALUE_IS_DEFAULT;

    if (is_folder && (postconf->flags & POSTCONF_DEFAULTS) != 0) {
        buf_append_text(raw, WAYPOST_CONFIG_DIRECTORY);
        return true;
    }
    is_set = is_set || (is_folder && !str_equal(value->raw, STR(WAYPOST_CONFIG_DIRECTORY)));
    if (!is_set && (postconf->flags & POSTCONF_SET_ONLY) != 0)
        return false;
    if (!is_set && transport_default(postconf, name, raw))
        return true;
    if (value == NULL)
        return false;
    if (!config_values_compute(postconf->values, value, error))
        return false;
    buf_append(raw, value->raw);
    return true;
}

static bool show(struct postconf *postconf, struct str name, struct buf *out, struct error *error)
{
    const struct parameter *parameter = parameter_find(name);
    autofree_buf struct buf raw = { 0 }, expanded = { 0 }, line = { 0 };
    bool folds = (postconf->flags & POSTCONF_FOLD) != 0;

    if (!find_raw(postconf, name, &raw, error))
        return error->message[0] == '\0';
    struct str text = buf_str(&raw);
    if ((postconf->flags & POSTCONF_EXPAND) != 0 &&
        (parameter == NULL || parameter->type != PARAMETER_RAW)) {
        if (!config_values_expand_text(postconf->values, name, text, &expanded, error))
            return error_context(error, "%.*s", STR_ARGS(name));
        text = buf_str(&expanded);
    }
    if ((postconf->flags & POSTCONF_NO_NAMES) == 0) {
        buf_append(&line, name);
        if ((postconf->flags & POSTCONF_NAMES_ONLY) == 0)
            buf_append_text(&line, " =");
    }
    if ((postconf->flags & POSTCONF_NAMES_ONLY) == 0)
        postconf_lay_out_words(&line, text, folds);
    buf_append_byte(&line, '\n');
    buf_append(out, buf_str(&line));
    return true;
}

int postconf_show_parameters(struct postconf *postconf)
{
    struct names names = { 0 };
    struct error error = { 0 };
    autofree_buf struct buf out = { 0 };
    bool is_shown = true;

    if (postconf->word_count > 0)
        collect_named(postconf, &names);
    else
        collect_all(postconf, &names);
    for (size_t i = 0; is_shown && i < names.count; i++)
        is_shown = show(postconf, names.items[i], &out, &error);
    arena_clear(&names.arena);
    if (is_shown)
        fwrite(buf_text(&out), 1, out.len, stdout);
    return is_shown ? EX_OK : tool_fail(&postconf->tool, POSTCONF_FAILED, "%s", error.message);
}
