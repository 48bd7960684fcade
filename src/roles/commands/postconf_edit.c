/* SPDX-License-Identifier: Apache-2.0 */
/* postconf: edits of main.cf: -e, -X, -#. */
#include "postconf.h"
#include "postconf_file.h"

struct edit {
    struct str name, value;
    int found_count;
};

struct editor {
    struct postconf *postconf;
    const char *path;
    struct arena arena;
    struct file_lines lines;
    struct edit *edits;
    size_t edit_count;
    struct buf out;
    struct error error;
};

static bool fail(struct editor *editor, const char *text)
{
    return error_set(&editor->error, "%s", text);
}

/* "name = value" or, for -X and -#, a name alone. */
static bool parse_edit(struct editor *editor, struct str text)
{
    bool wants_value = (editor->postconf->flags & POSTCONF_EDIT) != 0;
    struct edit *edit = &editor->edits[editor->edit_count++];
    struct str rest = str_trim(text);
    size_t len = 0;

    if (str_find_byte(rest, '\n') >= 0)
        return fail(editor, "-e, -X, or -# accepts no multi-line input");
    if (str_starts_with(rest, STR("#")))
        return fail(editor, "-e, -X, or -# accepts no comment input");
    while (len < rest.len && rest.ptr[len] != '=' && !ascii_is_space(rest.ptr[len]))
        len++;
    edit->name = str_take(rest, len);
    edit->value = str_trim(str_skip(rest, len));
    if (str_is_empty(edit->name))
        return error_set(&editor->error, "missing attribute name: \"%.*s\"", STR_ARGS(text));
    if (!wants_value && !str_is_empty(edit->value))
        return error_set(&editor->error, "-X or -# requires names without value, not \"%.*s\"",
                         STR_ARGS(text));
    if (wants_value && !str_starts_with(edit->value, STR("=")))
        return error_set(&editor->error, "missing '=' after attribute name: \"%.*s\"",
                         STR_ARGS(text));
    if (wants_value)
        edit->value = str_trim(str_skip(edit->value, 1));
    return true;
}

/* The last edit of a name counts, as the last line in main.cf does. */
static struct edit *find_edit(struct editor *editor, struct str name)
{
    for (size_t i = editor->edit_count; i > 0; i--)
        if (str_equal(editor->edits[i - 1].name, name))
            return &editor->edits[i - 1];
    return NULL;
}

static struct str name_of(struct str logical)
{
    size_t len = 0;

    while (len < logical.len && logical.ptr[len] != '=' && !ascii_is_space(logical.ptr[len]))
        len++;
    return str_take(logical, len);
}

static void append_setting(struct editor *editor, const struct edit *edit)
{
    buf_printf(&editor->out, "%.*s = %.*s\n", STR_ARGS(edit->name), STR_ARGS(edit->value));
}

static void apply_line(struct editor *editor, const struct file_line *line, struct edit *edit,
                       bool is_first)
{
    if (edit == NULL) {
        buf_append(&editor->out, line->physical);
    } else if ((editor->postconf->flags & POSTCONF_COMMENT) != 0) {
        buf_append_byte(&editor->out, '#');
        buf_append(&editor->out, line->physical);
    } else if ((editor->postconf->flags & POSTCONF_EDIT) != 0 && is_first) {
        append_setting(editor, edit);
    }
    if (edit != NULL && is_first && ++edit->found_count == 2)
        tool_warn(&editor->postconf->tool, "%s: multiple entries for \"%.*s\"", editor->path,
                  STR_ARGS(edit->name));
}

static void apply(struct editor *editor)
{
    autofree_buf struct buf logical = { 0 };
    struct edit *edit = NULL;
    int current = -1;

    for (size_t i = 0; i < editor->lines.count; i++) {
        const struct file_line *line = &editor->lines.items[i];
        bool is_first = line->logical >= 0 && line->logical != current;
        if (is_first) {
            current = line->logical;
            file_lines_join(&editor->lines, current, &logical);
            edit = find_edit(editor, name_of(buf_str(&logical)));
        }
        apply_line(editor, line, line->logical >= 0 ? edit : NULL, is_first);
    }
    if ((editor->postconf->flags & POSTCONF_EDIT) == 0)
        return;
    for (size_t i = 0; i < editor->edit_count; i++)
        if (editor->edits[i].found_count == 0 &&
            find_edit(editor, editor->edits[i].name) == &editor->edits[i])
            append_setting(editor, &editor->edits[i]);
}

static bool edit_main(struct editor *editor)
{
    struct postconf *postconf = editor->postconf;

    editor->path = arena_printf(&editor->arena, "%s/main.cf", postconf->folder);
    editor->edits = arena_new_array(&editor->arena, (size_t)postconf->word_count + 1,
                                    sizeof *editor->edits);
    for (int i = 0; i < postconf->word_count; i++)
        if (!parse_edit(editor, str_from(postconf->words[i])))
            return false;
    if (!file_lines_read(&editor->arena, editor->path, &editor->lines, &editor->error))
        return false;
    apply(editor);
    return file_lines_write(editor->path, buf_str(&editor->out), &editor->error);
}

int postconf_edit_main(struct postconf *postconf)
{
    struct editor editor = { .postconf = postconf };
    bool is_edited = edit_main(&editor);

    buf_free(&editor.out);
    arena_clear(&editor.arena);
    return is_edited ? EX_OK
                     : tool_fail(&postconf->tool, POSTCONF_FAILED, "%s", editor.error.message);
}
