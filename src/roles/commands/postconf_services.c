/* SPDX-License-Identifier: Apache-2.0 */
/* postconf: services of master.cf, their fields and their own parameters. */
#include "postconf.h"

#include <stdlib.h>

static const char *const field_names[] = {
    "service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command",
};
enum { FIELD_COUNT = sizeof field_names / sizeof *field_names };

static void field_text(const struct master_service *service, size_t field, struct buf *text)
{
    if (field == 0)
        buf_append(text, service->name);
    else if (field == 1)
        buf_append_text(text, service_type_name(service->type));
    else if (field < FIELD_COUNT - 1)
        buf_append(text, service->columns[field - 2]);
    else
        postconf_lay_out_command(text, service);
}

/* One line "service/type/name = value", or the part of it that is asked for. */
static bool show_line(struct postconf *postconf, const struct master_service *service,
                      struct str name, struct str text, struct error *error)
{
    autofree_buf struct buf expanded = { 0 }, line = { 0 };

    if ((postconf->flags & POSTCONF_EXPAND) != 0) {
        struct config_values *values = config_values_new(&postconf->tool.source, service);
        bool is_expanded = config_values_expand_text(values, STR(""), text, &expanded, error);
        config_values_free(&values);
        if (!is_expanded)
            return error_context(error, "%s, line %d: %.*s", service->file, service->line,
                                 STR_ARGS(name));
        text = buf_str(&expanded);
    }
    if ((postconf->flags & POSTCONF_NO_NAMES) == 0) {
        buf_printf(&line, "%.*s/%s/%.*s", STR_ARGS(service->name),
                   service_type_name(service->type), STR_ARGS(name));
        if ((postconf->flags & POSTCONF_NAMES_ONLY) == 0)
            buf_append_text(&line, " =");
    }
    if ((postconf->flags & POSTCONF_FIELDS) != 0 && (postconf->flags & POSTCONF_NAMES_ONLY) == 0)
        buf_printf(&line, "%s%.*s", line.len > 0 ? " " : "", STR_ARGS(text));
    else if ((postconf->flags & POSTCONF_NAMES_ONLY) == 0)
        postconf_lay_out_words(&line, text, (postconf->flags & POSTCONF_FOLD) != 0);
    buf_append_byte(&line, '\n');
    fwrite(line.ptr, 1, line.len, stdout);
    return true;
}

static bool is_asked_for(struct str wanted, struct str name)
{
    return str_is_empty(wanted) || str_equal(wanted, STR("*")) || str_equal(wanted, name);
}

static bool is_field(struct str name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (is_asked_for(name, str_from(field_names[i])))
            return true;
    return false;
}

static bool show_fields(struct postconf *postconf, const struct master_service *service,
                        struct str wanted, struct error *error)
{
    if (!is_field(wanted))
        return error_set(error, "invalid service attribute name: \"%.*s\"", STR_ARGS(wanted));
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        autofree_buf struct buf text = { 0 };
        field_text(service, i, &text);
        if (is_asked_for(wanted, str_from(field_names[i])) &&
            !show_line(postconf, service, str_from(field_names[i]), buf_str(&text), error))
            return false;
    }
    return true;
}

static int compare_overrides(const void *a, const void *b)
{
    const struct service_override *left = a, *right = b;

    return str_compare(left->name, right->name);
}

static bool is_last_of_name(const struct master_service *service, size_t index)
{
    for (size_t i = index + 1; i < service->override_count; i++)
        if (str_equal(service->overrides[i].name, service->overrides[index].name))
            return false;
    return true;
}

static bool show_overrides(struct postconf *postconf, const struct master_service *service,
                           struct str wanted, struct error *error)
{
    struct arena scratch = { 0 };
    struct service_override *sorted =
        arena_new_array(&scratch, service->override_count + 1, sizeof *sorted);
    size_t count = 0;
    bool is_shown = true;

    for (size_t i = 0; i < service->override_count; i++)
        if (is_last_of_name(service, i))
            sorted[count++] = service->overrides[i];
    qsort(sorted, count, sizeof *sorted, compare_overrides);
    for (size_t i = 0; is_shown && i < count; i++)
        if (is_asked_for(wanted, sorted[i].name))
            is_shown = show_line(postconf, service, sorted[i].name, sorted[i].value, error);
    arena_clear(&scratch);
    return is_shown;
}

static bool show_service(struct postconf *postconf, const struct master_service *service,
                         struct str wanted, struct error *error)
{
    autofree_buf struct buf line = { 0 };

    if ((postconf->flags & POSTCONF_FIELDS) != 0)
        return show_fields(postconf, service, wanted, error);
    if ((postconf->flags & POSTCONF_OVERRIDES) != 0)
        return show_overrides(postconf, service, wanted, error);
    postconf_lay_out_service(&line, service, (postconf->flags & POSTCONF_FOLD) != 0);
    fwrite(line.ptr, 1, line.len, stdout);
    return true;
}

/* Shows every service that fits; says so when none does. */
static bool show_fitting(struct postconf *postconf, struct str pattern, struct error *error)
{
    const struct master_cf *master_cf = &postconf->tool.source.master_cf;
    bool has_match = str_is_empty(pattern);
    struct str wanted;

    for (size_t i = 0; i < master_cf->line_count; i++) {
        if (!postconf_service_fits(&master_cf->lines[i], pattern, &wanted))
            continue;
        has_match = true;
        if (!show_service(postconf, &master_cf->lines[i], wanted, error))
            return false;
    }
    if (!has_match)
        tool_warn(&postconf->tool, "unmatched request: \"%.*s\"", STR_ARGS(pattern));
    return true;
}

int postconf_show_services(struct postconf *postconf)
{
    struct error error = { 0 };
    bool is_shown = postconf->word_count > 0 || show_fitting(postconf, STR(""), &error);

    for (int i = 0; is_shown && i < postconf->word_count; i++)
        is_shown = show_fitting(postconf, str_from(postconf->words[i]), &error);
    return is_shown ? EX_OK : tool_fail(&postconf->tool, POSTCONF_FAILED, "%s", error.message);
}
