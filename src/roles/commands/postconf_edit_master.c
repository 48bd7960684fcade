/* SPDX-License-Identifier: Apache-2.0 */
/* postconf: edits of master.cf: -Me -MX -M#, -Fe, -Pe -PX. */
#include "postconf.h"
#include "postconf_file.h"

/* One word of the request: "service/type[/name]", and "= value" with -e. */
struct edit {
    struct str text, pattern, name, value;
    bool is_used;
};

struct editor {
    struct postconf *postconf;
    const char *path;
    struct arena arena;
    struct file_lines lines;
    struct edit *edits;
    size_t edit_count;
    struct buf out;
    struct error *error;
};

static const char *const field_names[] = {
    "service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command",
};
enum { FIELD_COUNT = sizeof field_names / sizeof *field_names };

static bool has(const struct editor *editor, enum postconf_flag flag)
{
    return (editor->postconf->flags & flag) != 0;
}

/* Finds the number of a field; FIELD_COUNT for a name that is none. */
static size_t field_number(struct str name)
{
    size_t number = 0;

    while (number < FIELD_COUNT && !str_equal(name, str_from(field_names[number])))
        number++;
    return number;
}

static bool check_edit(const struct editor *editor, const struct edit *edit)
{
    bool needs_name = !has(editor, POSTCONF_SERVICES);

    if (str_find_byte(edit->text, '\n') >= 0)
        return error_set(editor->error, "-e, -X, or -# accepts no multi-line input");
    if (str_find_byte(edit->pattern, '/') < 0 || (needs_name && str_is_empty(edit->name)))
        return error_set(editor->error, "\"%.*s\" must begin with service-name/type%s",
                         STR_ARGS(edit->text), needs_name ? "/name" : "");
    if (has(editor, POSTCONF_FIELDS) && field_number(edit->name) == FIELD_COUNT)
        return error_set(editor->error, "invalid service attribute name: \"%.*s\"",
                         STR_ARGS(edit->name));
    if (has(editor, POSTCONF_OVERRIDES) &&
        (str_find_byte(edit->value, ' ') >= 0 || str_find_byte(edit->value, '\t') >= 0))
        return error_set(editor->error,
                         "-Pe does not accept whitespace in parameter value: \"%.*s\"",
                         STR_ARGS(edit->value));
    return true;
}

static bool parse_edit(struct editor *editor, struct str text)
{
    struct edit *edit = &editor->edits[editor->edit_count++];
    struct str rest = text, key = text;

    if (has(editor, POSTCONF_EDIT)) {
        if (str_find_byte(text, '=') < 0)
            return error_set(editor->error, "missing '=' after attribute name: \"%.*s\"",
                             STR_ARGS(text));
        key = str_cut(&rest, "=");
        edit->value = str_trim(rest);
    }
    key = str_trim(key);
    ptrdiff_t slash = str_find_byte(key, '/');
    ptrdiff_t second = slash < 0 ? -1 : str_find_byte(str_skip(key, (size_t)slash + 1), '/');
    edit->text = text;
    edit->pattern = second < 0 ? key : str_take(key, (size_t)(slash + 1 + second));
    edit->name = second < 0 ? STR("") : str_skip(key, (size_t)(slash + 2 + second));
    return check_edit(editor, edit);
}

/* Reads one line of master.cf; an error names what was asked for. */
static bool parse_service(struct editor *editor, struct str text, struct master_service *service)
{
    struct master_cf master_cf;

    if (!master_cf_parse(&editor->arena, editor->path, text, &master_cf, editor->error))
        return false;
    if (master_cf.line_count != 1)
        return error_set(editor->error, "bad field count: \"%.*s\"", STR_ARGS(text));
    *service = master_cf.lines[0];
    return true;
}

static bool set_field(struct editor *editor, const struct edit *edit,
                      struct master_service *service)
{
    autofree_buf struct buf line = { 0 };
    struct str fields[FIELD_COUNT] = { service->name, str_from(service_type_name(service->type)) };
    size_t number = field_number(edit->name);

    memcpy(&fields[2], service->columns, sizeof service->columns);
    autofree_buf struct buf command = { 0 };
    postconf_lay_out_command(&command, service);
    fields[FIELD_COUNT - 1] = buf_str(&command);
    if (number == FIELD_COUNT)
        return error_set(editor->error, "invalid service attribute name: \"%.*s\"",
                         STR_ARGS(edit->name));
    fields[number] = edit->value;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        buf_printf(&line, "%s%.*s", i > 0 ? " " : "", STR_ARGS(fields[i]));
    return parse_service(editor, buf_str(&line), service);
}

/* The words "-o" and "name=value" without those of `name`; the count of what is left. */
static size_t drop_override(struct master_service *service, struct str name, struct str *words)
{
    size_t count = 0;

    for (size_t i = 0; i < service->argument_count; i++) {
        struct str word = service->arguments[i], next = STR("");
        bool is_option = str_starts_with(word, STR("-o"));
        bool is_alone = is_option && word.len == 2 && i + 1 < service->argument_count;
        if (is_option)
            next = is_alone ? service->arguments[i + 1] : str_skip(word, 2);
        bool is_named = is_option && str_starts_with(next, name) && next.len > name.len &&
                        next.ptr[name.len] == '=';
        if (!is_named) {
            words[count++] = word;
            if (is_alone)
                words[count++] = next;
        }
        i += is_alone;
    }
    return count;
}

/* -Pe puts the new value where the old ones were dropped: in front of the command's other words,
 * behind its options. */
static void set_override(struct editor *editor, const struct edit *edit,
                         struct master_service *service)
{
    struct str *words = arena_new_array(&editor->arena, service->argument_count + 3, sizeof *words);
    size_t count = drop_override(service, edit->name, words), options = 0;

    if (has(editor, POSTCONF_EDIT)) {
        while (options < count && str_starts_with(words[options], STR("-")))
            options += str_equal(words[options], STR("-o")) ? 2 : 1;
        options = options < count ? options : count;
        memmove(&words[options + 2], &words[options], (count - options) * sizeof *words);
        words[options] = STR("-o");
        words[options + 1] = str_from(
            arena_printf(&editor->arena, "%.*s=%.*s", STR_ARGS(edit->name), STR_ARGS(edit->value)));
        count += 2;
    }
    service->arguments = words;
    service->argument_count = count;
}

/* Applies every edit that fits one service. */
static bool change_service(struct editor *editor, struct master_service *service, bool *is_changed,
                           bool *is_dropped)
{
    struct str rest;

    for (size_t i = 0; i < editor->edit_count; i++) {
        struct edit *edit = &editor->edits[i];
        if (!postconf_service_fits(service, edit->pattern, &rest))
            continue;
        edit->is_used = true;
        *is_changed = true;
        if (has(editor, POSTCONF_OVERRIDES))
            set_override(editor, edit, service);
        else if (has(editor, POSTCONF_FIELDS) && !set_field(editor, edit, service))
            return false;
        else if (has(editor, POSTCONF_SERVICES) && !has(editor, POSTCONF_EDIT))
            *is_dropped = true;
        else if (has(editor, POSTCONF_SERVICES) && !parse_service(editor, edit->value, service))
            return false;
    }
    return true;
}

/* Copies or changes the logical line that begins at `*next`, with what stands in it. */
static bool edit_line(struct editor *editor, size_t *next)
{
    const struct file_line *lines = editor->lines.items;
    int logical = lines[*next].logical;
    bool is_changed = false, is_dropped = false;
    struct master_service service;
    autofree_buf struct buf text = { 0 };
    size_t end = *next + 1;

    file_lines_join(&editor->lines, logical, &text);
    if (!parse_service(editor, buf_str(&text), &service) ||
        !change_service(editor, &service, &is_changed, &is_dropped))
        return false;
    for (size_t i = end; i < editor->lines.count; i++)
        if (lines[i].logical == logical)
            end = i + 1;
    if (is_changed && !is_dropped)
        postconf_lay_out_service(&editor->out, &service, true);
    for (; *next < end; ++*next) {
        bool is_own = lines[*next].logical == logical;
        if (is_own && is_changed && !(is_dropped && has(editor, POSTCONF_COMMENT)))
            continue;
        if (is_own && is_dropped)
            buf_append_byte(&editor->out, '#');
        buf_append(&editor->out, lines[*next].physical);
    }
    return true;
}

/* New services go to the end; anything else that fits nothing is only reported. */
static bool finish(struct editor *editor)
{
    struct master_service service;

    for (size_t i = 0; i < editor->edit_count; i++) {
        struct edit *edit = &editor->edits[i];
        if (edit->is_used)
            continue;
        if (!has(editor, POSTCONF_SERVICES)) {
            tool_warn(&editor->postconf->tool, "unmatched service_name/type: \"%.*s\"",
                      STR_ARGS(edit->text));
        } else if (has(editor, POSTCONF_EDIT)) {
            if (!parse_service(editor, edit->value, &service))
                return false;
            postconf_lay_out_service(&editor->out, &service, true);
        }
    }
    return true;
}

static bool edit_master(struct editor *editor)
{
    struct postconf *postconf = editor->postconf;
    size_t next = 0;

    editor->path = arena_printf(&editor->arena, "%s/master.cf", postconf->folder);
    editor->edits =
        arena_new_array(&editor->arena, (size_t)postconf->word_count + 1, sizeof *editor->edits);
    for (int i = 0; i < postconf->word_count; i++)
        if (!parse_edit(editor, str_from(postconf->words[i])))
            return false;
    if (!file_lines_read(&editor->arena, editor->path, &editor->lines, editor->error))
        return false;
    while (next < editor->lines.count) {
        if (editor->lines.items[next].logical < 0)
            buf_append(&editor->out, editor->lines.items[next++].physical);
        else if (!edit_line(editor, &next))
            return false;
    }
    return finish(editor) && file_lines_write(editor->path, buf_str(&editor->out), editor->error);
}

int postconf_edit_master(struct postconf *postconf)
{
    struct error error = { 0 };
    struct editor editor = { .postconf = postconf, .error = &error };
    bool is_edited = edit_master(&editor);

    buf_free(&editor.out);
    arena_clear(&editor.arena);
    return is_edited ? EX_OK : tool_fail(&postconf->tool, POSTCONF_FAILED, "%s", error.message);
}
