/* SPDX-License-Identifier: Apache-2.0 */
#include "macro.h"

enum { NESTING_MAX = 20 };

struct expander {
    const struct macros *macros;
    struct macro_use *use;
    struct error *error;
    int depth;
};

static bool expand_text(struct expander *expander, struct str text, struct buf *out);

static bool is_name_byte(char byte)
{
    return ascii_is_alnum(byte) || byte == '_';
}

static struct str take_name(struct str *rest)
{
    size_t len = 0;

    while (len < rest->len && is_name_byte(rest->ptr[len]))
        len++;
    struct str name = str_take(*rest, len);
    *rest = str_skip(*rest, len);
    return name;
}

static bool take_balanced(struct str *rest, struct str *inside)
{
    char open = rest->ptr[0], close = open == '{' ? '}' : ')';
    size_t level = 0;

    for (size_t i = 0; i < rest->len; i++) {
        if (rest->ptr[i] == open)
            level++;
        else if (rest->ptr[i] == close && --level == 0) {
            *inside = str_of(rest->ptr + 1, i - 1);
            *rest = str_skip(*rest, i + 1);
            return true;
        }
    }
    return false;
}

static struct str value_of(const struct expander *expander, struct str name)
{
    for (const struct macro_value *each = expander->macros->values; each->name != NULL; each++)
        if (str_equal(str_from(each->name), name))
            return each->text;
    return STR("");
}

void macro_filter(struct str value, struct str filter, struct buf *out)
{
    for (size_t i = 0; i < value.len; i++) {
        bool is_option = i == 0 && value.ptr[0] == '-';
        bool may_stay =
            filter.len == 0 || (!is_option && memchr(filter.ptr, value.ptr[i], filter.len) != NULL);
        buf_append_byte(out, may_stay ? value.ptr[i] : '_');
    }
}

static void put_value(struct expander *expander, struct str name, struct buf *out)
{
    struct str value = value_of(expander, name);

    if (value.len == 0)
        expander->use->has_undefined = true;
    else if (str_equal(name, STR("extension")))
        expander->use->has_extension = true;
    macro_filter(value, expander->macros->filter, out);
}

/* One branch of a condition: bare up to its end, or in braces. */
static bool take_branch(struct str *rest, struct str *branch)
{
    struct str trimmed = str_trim(*rest);

    if (trimmed.len == 0 || trimmed.ptr[0] != '{') {
        *branch = *rest;
        *rest = STR("");
        return true;
    }
    *rest = trimmed;
    return take_balanced(rest, branch);
}

/* Behind the name in "${name?a:b}". */
static bool expand_condition(struct expander *expander, struct str name, struct str rest,
                             struct buf *out)
{
    bool is_set = value_of(expander, name).len > 0;
    bool is_when_set = rest.ptr[0] == '?';
    struct str first, second = STR("");

    rest = str_skip(rest, 1);
    if (!take_branch(&rest, &first))
        return error_set(expander->error, "unbalanced braces");
    rest = str_trim(rest);
    if (rest.len > 0) {
        if (!is_when_set || rest.ptr[0] != ':')
            return error_set(expander->error, "text behind a condition's end");
        rest = str_skip(rest, 1);
        if (!take_branch(&rest, &second) || str_trim(rest).len > 0)
            return error_set(expander->error, "malformed condition");
    }
    return expand_text(expander, is_set == is_when_set ? first : second, out);
}

static bool expand_reference(struct expander *expander, struct str *rest, struct buf *out)
{
    struct str inside;

    if (rest->len > 0 && rest->ptr[0] == '$') {
        buf_append_byte(out, '$');
        *rest = str_skip(*rest, 1);
        return true;
    }
    if (rest->len == 0 || (rest->ptr[0] != '{' && rest->ptr[0] != '(')) {
        struct str name = take_name(rest);
        if (name.len == 0)
            return error_set(expander->error, "a name is missing behind $");
        put_value(expander, name, out);
        return true;
    }
    if (!take_balanced(rest, &inside))
        return error_set(expander->error, "unbalanced braces");
    inside = str_trim(inside);
    struct str name = take_name(&inside);
    if (name.len == 0)
        return error_set(expander->error, "a name is missing in ${}");
    if (inside.len == 0) {
        put_value(expander, name, out);
        return true;
    }
    if (inside.ptr[0] != '?' && inside.ptr[0] != ':')
        return error_set(expander->error, "\"%.*s\" is no name", STR_ARGS(str_take(inside, 40)));
    return expand_condition(expander, name, inside, out);
}

static bool expand_text(struct expander *expander, struct str text, struct buf *out)
{
    bool is_good = true;

    if (++expander->depth > NESTING_MAX)
        return error_set(expander->error, "nested too deep");
    while (is_good && text.len > 0) {
        ptrdiff_t dollar = str_find_byte(text, '$');
        size_t len = dollar < 0 ? text.len : (size_t)dollar;
        buf_append(out, str_take(text, len));
        text = str_skip(text, dollar < 0 ? len : len + 1);
        if (dollar >= 0)
            is_good = expand_reference(expander, &text, out);
    }
    expander->depth--;
    return is_good;
}

bool macro_expand(const struct macros *macros, struct str text, struct buf *out,
                  struct macro_use *use, struct error *error)
{
    struct macro_use unused = { 0 };
    struct expander expander = { .macros = macros,
                                 .use = use != NULL ? use : &unused,
                                 .error = error };

    *expander.use = (struct macro_use){ 0 };
    return expand_text(&expander, text, out);
}
