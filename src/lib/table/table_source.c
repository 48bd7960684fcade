/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_source.h"

static bool is_comment_or_blank(struct str line)
{
    line = str_trim(line);
    return line.len == 0 || line.ptr[0] == '#';
}

static struct str next_physical(struct table_source *source)
{
    if (source->next_line == 0)
        source->next_line = 1;
    source->next_line++;
    return str_cut(&source->rest, "\n");
}

/* Whether the next physical line continues the logical one (or is a comment or blank line, which
 * may stand inside it). */
static bool goes_on(const struct table_source *source)
{
    struct str rest = source->rest;

    if (rest.len == 0)
        return false;
    return ascii_is_space(rest.ptr[0]) || rest.ptr[0] == '#';
}

bool table_source_line(struct arena *arena, struct table_source *source, struct str *text,
                       int *line)
{
    autofree_buf struct buf joined = { 0 };
    struct str first = STR("");

    while (source->rest.len > 0 && is_comment_or_blank(first)) {
        first = next_physical(source);
        *line = source->next_line - 1;
    }
    if (is_comment_or_blank(first))
        return false;
    *text = str_trim(first);
    while (goes_on(source)) {
        struct str more = next_physical(source);
        if (is_comment_or_blank(more))
            continue;
        if (joined.len == 0)
            buf_append(&joined, first);
        buf_append(&joined, more);
    }
    if (joined.len > 0)
        *text = arena_copy(arena, str_trim(buf_str(&joined)));
    return true;
}

/* A quoted key: its length with both quotes, 0 where the quote stays open. */
static size_t quoted_length(struct str text)
{
    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Without quotes; a backslash protects what follows it. */
static struct str unquote(struct arena *arena, struct str quoted)
{
    char *text = arena_new(arena, quoted.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < quoted.len; i++) {
        if (quoted.ptr[i] == '"')
            continue;
        if (quoted.ptr[i] == '\\' && i + 1 < quoted.len)
            i++;
        text[len++] = quoted.ptr[i];
    }
    return str_of(text, len);
}

enum table_entry_fault table_entry_split(struct str text, struct str *key, struct str *value)
{
    size_t len = text.len > 0 && text.ptr[0] == '"' ? quoted_length(text) : 0;
    bool is_quoted = len > 0;

    if (!is_quoted && text.len > 0 && text.ptr[0] == '"')
        return TABLE_ENTRY_OPEN_QUOTE;
    while (len < text.len && !ascii_is_space(text.ptr[len]))
        len++;
    *key = str_take(text, len);
    *value = str_trim(str_skip(text, len));
    if (key->len == 0 || value->len == 0)
        return TABLE_ENTRY_NO_VALUE;
    return !is_quoted && key->ptr[key->len - 1] == ':' ? TABLE_ENTRY_LIKE_ALIAS : TABLE_ENTRY_FINE;
}

enum table_entry_fault table_alias_split(struct arena *arena, struct str text, struct str *key,
                                         struct str *value)
{
    size_t len = text.len > 0 && text.ptr[0] == '"' ? quoted_length(text) : 0;
    bool is_quoted = len > 0;

    if (!is_quoted && text.len > 0 && text.ptr[0] == '"')
        return TABLE_ENTRY_NO_VALUE;
    while (len < text.len && text.ptr[len] != ':')
        len++;
    *key = str_trim(str_take(text, len));
    *value = str_trim(str_skip(text, len + 1));
    if (is_quoted)
        *key = unquote(arena, *key);
    return key->len == 0 || value->len == 0 ? TABLE_ENTRY_NO_VALUE : TABLE_ENTRY_FINE;
}

bool table_take_braces(struct str *rest, struct str *inner)
{
    int depth = 0;

    for (size_t i = 0; i < rest->len; i++) {
        depth += rest->ptr[i] == '{';
        depth -= rest->ptr[i] == '}';
        if (depth == 0) {
            *inner = str_trim(str_of(rest->ptr + 1, i - 1));
            *rest = str_skip(*rest, i + 1);
            return true;
        }
    }
    return false;
}

struct str table_skip_separators(struct str text)
{
    while (text.len > 0 && (ascii_is_space(text.ptr[0]) || text.ptr[0] == ','))
        text = str_skip(text, 1);
    return text;
}

bool table_next_word(struct str *rest, struct str *word)
{
    struct str text = table_skip_separators(*rest);
    size_t end = 0;
    int depth = 0;

    for (; end < text.len; end++) {
        char byte = text.ptr[end];
        depth += byte == '{';
        depth -= byte == '}' && depth > 0;
        if (depth == 0 && (ascii_is_space(byte) || byte == ','))
            break;
    }
    *word = str_take(text, end);
    *rest = str_skip(text, end);
    return word->len > 0;
}

bool table_inline_lines(struct str text, struct buf *lines, struct error *error)
{
    struct str body, line;

    text = str_trim(text);
    if (text.len == 0 || text.ptr[0] != '{' || !table_take_braces(&text, &body) || text.len > 0)
        return error_set(error, "bad syntax: expected \"{ { line }, { line } ... }\"");
    for (body = table_skip_separators(body); body.len > 0; body = table_skip_separators(body)) {
        if (body.ptr[0] != '{' || !table_take_braces(&body, &line))
            return error_set(error, "bad syntax: expected \"{ line }\", found \"%.*s\"",
                             STR_ARGS(body));
        buf_append(lines, line);
        buf_append_byte(lines, '\n');
    }
    return true;
}
