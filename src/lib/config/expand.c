/* SPDX-License-Identifier: Apache-2.0 */
#include "config/expand.h"

/* Postfix gives up at a hundred levels; every level costs us two small stack frames. */
enum { NESTING_LIMIT = 100, STEP_LIMIT = 100000 };
static const size_t size_limit_bytes = 1 << 20;

/* The parameters that are being expanded, innermost first. */
struct frame {
    struct str name;
    const struct frame *outer;
};

struct expander {
    const struct expand_source *source;
    const struct frame *frame;
    struct error *error;
    int depth;
    int steps; /* nested references multiply: a bound on the work, not only on the result */
};

static bool expand_text(struct expander *expander, struct str text, struct buf *out);

static bool is_name_byte(char byte)
{
    return ascii_is_alnum(byte) || byte == '_';
}

static struct str trim_start(struct str text)
{
    while (text.len > 0 && ascii_is_space(text.ptr[0]))
        text = str_skip(text, 1);
    return text;
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

/* Cuts the balanced "{…}" or "(…)" that `rest` begins with; false when it does not end. */
static bool take_balanced(struct str *rest, struct str *inside)
{
    char open = rest->ptr[0], close = open == '{' ? '}' : ')';
    size_t level = 0;

    for (size_t i = 0; i < rest->len; i++) {
        if (rest->ptr[i] == open)
            level++;
        else if (rest->ptr[i] == close)
            level--;
        if (level == 0) {
            *inside = str_of(rest->ptr + 1, i - 1);
            *rest = str_skip(*rest, i + 1);
            return true;
        }
    }
    return false;
}

/* The versions that compatibility levels are: "3.6", "2", "3.10.1". Ten digits for each part. */
static bool level_parse(struct str text, uint64_t *level)
{
    uint64_t part;

    *level = 0;
    for (int i = 0; i < 3; i++) {
        struct str digits = str_cut(&text, ".");
        if (!str_to_u64(digits, &part) || part > 0xfffff)
            return i > 0 && str_is_empty(digits) && str_is_empty(text);
        *level |= part << (20 * (2 - i));
        if (str_is_empty(text))
            return true;
    }
    return false;
}

static int compare_values(struct str left, struct str right)
{
    int64_t left_number, right_number;

    if (str_to_i64(left, &left_number) && str_to_i64(right, &right_number))
        return (left_number > right_number) - (left_number < right_number);
    return str_compare(left, right);
}

bool expand_compare(struct str left, struct str operation, struct str right, bool *is_true)
{
    static const struct {
        struct str text;
        bool on_less, on_equal, on_greater;
    } operations[] = {
        { STR_INIT("=="), false, true, false }, { STR_INIT("!="), true, false, true },
        { STR_INIT("<"), true, false, false },  { STR_INIT("<="), true, true, false },
        { STR_INIT(">="), false, true, true },  { STR_INIT(">"), false, false, true },
    };
    bool is_level = str_ends_with(operation, STR("level"));
    uint64_t left_level, right_level;
    int order;

    if (is_level)
        operation = str_take(operation, operation.len - 5);
    if (!is_level)
        order = compare_values(left, right);
    else if (level_parse(left, &left_level) && level_parse(right, &right_level))
        order = (left_level > right_level) - (left_level < right_level);
    else
        return false;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (!str_equal(operation, operations[i].text))
            continue;
        *is_true = order < 0    ? operations[i].on_less
                   : order == 0 ? operations[i].on_equal
                                : operations[i].on_greater;
        return true;
    }
    return false;
}

/* What follows the condition: "? text", ": text" or "? {text} : {text}". */
static bool expand_choice(struct expander *expander, struct str choice, bool is_true,
                          struct buf *out)
{
    bool is_if_true = choice.ptr[0] == '?';
    struct str rest = trim_start(str_skip(choice, 1)), first;

    if (str_is_empty(rest) || rest.ptr[0] != '{')
        return is_true == is_if_true ? expand_text(expander, rest, out) : true;
    if (!take_balanced(&rest, &first))
        return error_set(expander->error, "a { without its } in \"%.*s\"", STR_ARGS(choice));
    rest = trim_start(rest);
    if (is_true == is_if_true && !expand_text(expander, str_trim(first), out))
        return false;
    if (str_is_empty(rest))
        return true;
    if (!is_if_true || rest.ptr[0] != ':')
        return error_set(expander->error, "unexpected text \"%.*s\" after a {…}; \"${name?{text}:"
                                          "{text}}\" is the form",
                         STR_ARGS(rest));
    return expand_choice(expander, rest, is_true, out);
}

static struct str take_operator(struct str *rest)
{
    size_t len = 0;

    while (len < rest->len && strchr("=!<>", rest->ptr[len]) != NULL)
        len++;
    while (len < rest->len && ascii_is_alpha(rest->ptr[len]))
        len++;
    struct str operation = str_take(*rest, len);
    *rest = trim_start(str_skip(*rest, len));
    return operation;
}

/* ${{left} op {right} ? …} */
static bool expand_comparison(struct expander *expander, struct str inside, struct buf *out)
{
    autofree_buf struct buf left_value = { .limit = size_limit_bytes };
    autofree_buf struct buf right_value = { .limit = size_limit_bytes };
    struct str rest = inside, left, right;
    bool is_true = false;

    if (!take_balanced(&rest, &left))
        return error_set(expander->error, "a { without its } in \"%.*s\"", STR_ARGS(inside));
    rest = trim_start(rest);
    struct str operation = take_operator(&rest);
    if (str_is_empty(rest) || rest.ptr[0] != '{' || !take_balanced(&rest, &right))
        return error_set(expander->error,
                         "\"%.*s\" is no comparison; \"${{text} == {text} ? {text} : {text}}\" is "
                         "the form",
                         STR_ARGS(inside));
    rest = trim_start(rest);
    if (!str_is_empty(rest) && rest.ptr[0] != '?' && rest.ptr[0] != ':')
        return error_set(expander->error, "unexpected text \"%.*s\" after a comparison",
                         STR_ARGS(rest));
    if (!expand_text(expander, left, &left_value) || !expand_text(expander, right, &right_value))
        return false;
    if (!expand_compare(buf_str(&left_value), operation, buf_str(&right_value), &is_true))
        return error_set(expander->error,
                         "cannot compare \"%.*s\" and \"%.*s\" by \"%.*s\"; there are == != < <= "
                         ">= > and the same with \"level\" behind it for versions",
                         STR_ARGS(buf_str(&left_value)), STR_ARGS(buf_str(&right_value)),
                         STR_ARGS(operation));
    if (!str_is_empty(rest))
        return expand_choice(expander, rest, is_true, out);
    if (is_true)
        buf_append_text(out, "true");
    return true;
}

static bool expand_found(struct expander *expander, struct str name,
                         const struct expand_value *value, struct buf *out)
{
    const struct frame frame = { name, expander->frame };

    for (const struct frame *each = expander->frame; each != NULL; each = each->outer) {
        if (str_equal(each->name, name))
            return error_set(expander->error, "$%.*s refers to itself", STR_ARGS(name));
    }
    expander->frame = &frame;
    bool is_expanded = expand_text(expander, value->text, out);
    expander->frame = frame.outer;
    return is_expanded ||
           error_context(expander->error, "%s%s$%.*s", value->place != NULL ? value->place : "",
                         value->place != NULL ? ": " : "", STR_ARGS(name));
}

/* What stands between the braces of ${…}, or a bare name. */
static bool expand_reference(struct expander *expander, struct str inside, struct buf *out)
{
    const struct expand_source *source = expander->source;
    struct expand_value value = { 0 };
    struct str rest = trim_start(inside);

    if (rest.len > 0 && rest.ptr[0] == '{')
        return expand_comparison(expander, rest, out);
    struct str name = take_name(&rest);
    rest = trim_start(rest);
    if (str_is_empty(name))
        return error_set(expander->error, "no parameter name after a $ (a $ itself is written $$)");
    bool is_found = source->find(source->argument, name, &value);
    if (rest.len > 0 && (rest.ptr[0] == '?' || rest.ptr[0] == ':'))
        return expand_choice(expander, rest, is_found && !str_is_empty(value.text), out);
    if (rest.len > 0)
        return error_set(expander->error, "\"%.*s\" is no parameter name", STR_ARGS(inside));
    if (is_found)
        return expand_found(expander, name, &value, out);
    if (source->undefined != NULL)
        source->undefined(source->argument, name);
    return true;
}

/* `rest` begins behind a '$'. */
static bool expand_dollar(struct expander *expander, struct str *rest, struct buf *out)
{
    struct str inside;

    if (rest->len > 0 && rest->ptr[0] == '$') {
        buf_append_byte(out, '$');
        *rest = str_skip(*rest, 1);
        return true;
    }
    if (rest->len == 0 || (rest->ptr[0] != '{' && rest->ptr[0] != '('))
        inside = take_name(rest);
    else if (!take_balanced(rest, &inside))
        return error_set(expander->error, "\"$%.*s\" does not end with its %c",
                         STR_ARGS(str_take(*rest, 60)), rest->ptr[0] == '{' ? '}' : ')');
    return expand_reference(expander, inside, out);
}

static bool expand_text(struct expander *expander, struct str text, struct buf *out)
{
    bool is_expanded = true;

    if (++expander->depth > NESTING_LIMIT)
        return error_set(expander->error, "macros are nested more than %d deep", NESTING_LIMIT);
    while (is_expanded && text.len > 0) {
        ptrdiff_t dollar = str_find_byte(text, '$');
        buf_append(out, dollar < 0 ? text : str_take(text, (size_t)dollar));
        if (dollar < 0)
            break;
        text = str_skip(text, (size_t)dollar + 1);
        if (++expander->steps > STEP_LIMIT || out->is_overflowed)
            return error_set(expander->error, "the value grows without end when it is expanded");
        is_expanded = expand_dollar(expander, &text, out);
    }
    expander->depth--;
    return is_expanded;
}

bool expand(const struct expand_source *source, struct str name, struct str text, struct buf *out,
            struct error *error)
{
    const struct frame outermost = { name, NULL };
    struct expander expander = {
        .source = source,
        .frame = str_is_empty(name) ? NULL : &outermost,
        .error = error,
    };

    if (out->limit == 0)
        out->limit = size_limit_bytes;
    if (!expand_text(&expander, text, out))
        return false;
    if (out->is_overflowed)
        return error_set(error, "the value is larger than %zu bytes when it is expanded",
                         out->limit);
    return true;
}
