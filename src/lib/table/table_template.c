/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_template.h"

/* ---- references ---- */

/* What stands behind a '%'. */
static bool parse_reference(char byte, struct template_reference *reference)
{
    *reference = (struct template_reference){ .is_of_key = byte >= 'A' && byte <= 'Z' };
    switch (ascii_lower(byte)) {
    case 's':
        reference->part = PART_WHOLE;
        return true;
    case 'u':
        reference->part = PART_LOCAL;
        return true;
    case 'd':
        reference->part = PART_DOMAIN;
        return true;
    default:
        reference->part = PART_LABEL;
        reference->label = byte - '0';
        reference->is_of_key = true;
        return byte >= '1' && byte <= '9';
    }
}

/* The label'th part of a domain, counted from its end. */
static bool find_label(struct str domain, int label, struct str *value)
{
    for (;;) {
        ptrdiff_t dot = str_find_last_byte(domain, '.');
        if (label == 1) {
            *value = str_skip(domain, (size_t)(dot + 1));
            return value->len > 0;
        }
        if (dot < 0)
            return false;
        domain = str_take(domain, (size_t)dot);
        label--;
    }
}

bool template_resolve(const struct template_reference *reference, struct str text,
                      struct str *value)
{
    ptrdiff_t at = str_find_last_byte(text, '@');
    struct str local = at >= 0 ? str_take(text, (size_t)at) : text;
    struct str domain = at >= 0 ? str_skip(text, (size_t)at + 1) : STR("");

    switch (reference->part) {
    case PART_WHOLE:
        *value = text;
        return text.len > 0;
    case PART_LOCAL:
        *value = local;
        return local.len > 0;
    case PART_DOMAIN:
        *value = domain;
        return domain.len > 0;
    case PART_LABEL:
        return domain.len > 0 && find_label(domain, reference->label, value);
    }
    return false;
}

static bool bad_template(struct error *error, struct str text)
{
    return error_set(error, "invalid template: \"%.*s\": behind %% goes one of %%sudSUD123456789",
                     STR_ARGS(text));
}

/* ---- queries ---- */

struct query_parser {
    struct str rest, whole;
    struct query_template *query;
    struct buf sql;
};

/* Takes the '%' and what is behind it: a reference gets the next number, which is appended. */
static bool take_percent(struct query_parser *parser, bool *is_reference, struct error *error)
{
    struct query_template *query = parser->query;
    struct template_reference reference;
    char byte = parser->rest.len > 1 ? parser->rest.ptr[1] : '\0';

    *is_reference = byte != '%';
    parser->rest = str_skip(parser->rest, 2);
    if (!*is_reference)
        return true;
    if (!parse_reference(byte, &reference))
        return bad_template(error, parser->whole);
    if (query->count == TEMPLATE_REFERENCES_MAX)
        return error_set(error, "a query with more than %d references", TEMPLATE_REFERENCES_MAX);
    reference.is_of_key = true;
    query->references[query->count++] = reference;
    return true;
}

/* A string in quotes. With references in it it becomes a concatenation. */
static bool take_string(struct query_parser *parser, struct error *error)
{
    autofree_buf struct buf out = { 0 };
    char quote = parser->rest.ptr[0];
    size_t before = parser->query->count;
    struct str start = parser->rest;
    bool is_reference;

    buf_append_text(&out, "('");
    for (parser->rest = str_skip(parser->rest, 1);;) {
        if (parser->rest.len == 0)
            return error_set(error, "\"%.*s\": a quote stays open", STR_ARGS(parser->whole));
        char byte = parser->rest.ptr[0];
        bool is_doubled = parser->rest.len > 1 && parser->rest.ptr[1] == quote;
        if (byte == quote && !is_doubled)
            break;
        if (byte == '%') {
            if (!take_percent(parser, &is_reference, error))
                return false;
            if (is_reference)
                buf_printf(&out, "'||?%zu||'", parser->query->count);
            else
                buf_append_byte(&out, '%');
            continue;
        }
        if (byte == '\'')
            buf_append_byte(&out, '\'');
        buf_append_byte(&out, byte);
        parser->rest = str_skip(parser->rest, byte == quote ? 2 : 1);
    }
    parser->rest = str_skip(parser->rest, 1);
    buf_append_text(&out, "')");
    if (parser->query->count > before || quote == '\'') {
        buf_append(&parser->sql, buf_str(&out));
        parser->query->has_double_quotes |= quote == '"';
    } else {
        /* A name in quotes. */
        buf_append(&parser->sql, str_take(start, start.len - parser->rest.len));
    }
    return true;
}

bool query_template_parse(struct arena *arena, struct str text, struct query_template *query,
                          struct error *error)
{
    struct query_parser parser = { .rest = text, .whole = text, .query = query };
    bool is_good = true, is_reference;

    *query = (struct query_template){ .count = 0 };
    while (parser.rest.len > 0 && is_good) {
        char byte = parser.rest.ptr[0];
        if (byte == '\'' || byte == '"') {
            is_good = take_string(&parser, error);
        } else if (byte == '%') {
            is_good = take_percent(&parser, &is_reference, error);
            if (is_reference)
                buf_printf(&parser.sql, "?%zu", query->count);
            else
                buf_append_byte(&parser.sql, '%');
        } else {
            buf_append_byte(&parser.sql, byte);
            parser.rest = str_skip(parser.rest, 1);
        }
    }
    query->sql = arena_text(arena, buf_str(&parser.sql));
    buf_free(&parser.sql);
    return is_good;
}

/* ---- results ---- */

/* Takes text up to the next reference, or the reference; false at the end. */
static bool next_piece(struct str *rest, struct str *text, struct template_reference *reference,
                       bool *is_reference)
{
    if (rest->len == 0)
        return false;
    *is_reference = rest->len > 1 && rest->ptr[0] == '%' && rest->ptr[1] != '%';
    if (*is_reference) {
        *is_reference = parse_reference(rest->ptr[1], reference);
        *text = str_take(*rest, 2);
        *rest = str_skip(*rest, 2);
        return true;
    }
    size_t len = rest->ptr[0] == '%' ? 1 : 0;
    if (len == 1) {
        *text = str_take(*rest, 1);
        *rest = str_skip(*rest, 2);
        return true;
    }
    ptrdiff_t percent = str_find_byte(*rest, '%');
    *text = str_take(*rest, percent < 0 ? rest->len : (size_t)percent);
    *rest = str_skip(*rest, text->len);
    return true;
}

bool result_template_check(struct str text, struct error *error)
{
    struct str rest = text;
    struct template_reference reference;

    for (ptrdiff_t percent; (percent = str_find_byte(rest, '%')) >= 0;) {
        rest = str_skip(rest, (size_t)percent + 1);
        if (rest.len == 0 || (rest.ptr[0] != '%' && !parse_reference(rest.ptr[0], &reference)))
            return bad_template(error, text);
        rest = str_skip(rest, 1);
    }
    return true;
}

bool result_template_fits(struct str text, struct str key)
{
    struct template_reference reference;
    struct str piece, value;
    bool is_reference;

    while (next_piece(&text, &piece, &reference, &is_reference))
        if (is_reference && reference.is_of_key && !template_resolve(&reference, key, &value))
            return false;
    return true;
}

bool result_template_expand(struct str text, struct str key, struct str value, struct buf *out)
{
    struct template_reference reference;
    struct str piece, part;
    size_t before = out->len;
    bool is_reference;

    if (out->len > 0)
        buf_append_byte(out, ',');
    while (next_piece(&text, &piece, &reference, &is_reference)) {
        if (!is_reference) {
            buf_append(out, piece);
        } else if (template_resolve(&reference, reference.is_of_key ? key : value, &part)) {
            buf_append(out, part);
        } else {
            buf_truncate(out, before);
            return false;
        }
    }
    return true;
}
