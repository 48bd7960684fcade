/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address_list.h"

#include "mail/address.h"
#include "mail/enclosed.h"

enum { LINE_BYTES_MAX = 70 }; /* a folded line is shorter */

/* ---- tokens ---- */

enum token_kind { TOKEN_ATOM, TOKEN_QUOTED, TOKEN_LITERAL, TOKEN_COMMENT, TOKEN_SPECIAL };

struct token {
    enum token_kind kind;
    struct str text;
    bool is_closed; /* of '<': a '>' follows somewhere; of ':': it starts a group; of a quoted
                       string or a literal: its second mark is there */
};

struct tokens {
    struct token *all;
    size_t count;
};

static bool is_special(char byte)
{
    switch (byte) {
    case '<':
    case '>':
    case '@':
    case ',':
    case ';':
    case ':':
    case '.':
    case '(':
    case ')':
    case '"':
    case '[':
    case ']':
        return true;
    default:
        return false;
    }
}

static size_t atom_length(struct str text)
{
    size_t len = 0;

    while (len < text.len && !is_special(text.ptr[len]) && !ascii_is_space(text.ptr[len]))
        len += text.ptr[len] == '\\' ? 2 : 1;
    return len < text.len ? len : text.len;
}

static struct token take_token(struct str *rest)
{
    struct token token = { .kind = TOKEN_SPECIAL };
    size_t len = 1;

    switch (rest->ptr[0]) {
    case '"':
        token.kind = TOKEN_QUOTED;
        len = enclosed_length(*rest, '"');
        token.is_closed = len > 0;
        break;
    case '[':
        token.kind = TOKEN_LITERAL;
        len = enclosed_length(*rest, ']');
        token.is_closed = len > 0;
        break;
    case '(':
        token.kind = TOKEN_COMMENT;
        len = enclosed_comment_length(*rest);
        break;
    default:
        if (!is_special(rest->ptr[0])) {
            token.kind = TOKEN_ATOM;
            len = atom_length(*rest);
        }
    }
    if (len == 0) /* it stays open */
        len = rest->len;
    token.text = str_take(*rest, len);
    *rest = str_skip(*rest, len);
    return token;
}

static bool is_char(const struct token *token, char byte)
{
    return token->kind == TOKEN_SPECIAL && token->text.ptr[0] == byte;
}

static bool is_separator(const struct token *token)
{
    return is_char(token, ',') || is_char(token, ';') || is_char(token, ':');
}

/* From the right: which '<' have a '>', and which ':' belong to a ';'. */
static void find_closed(struct tokens *tokens)
{
    bool has_angle = false, has_group = false;

    for (size_t i = tokens->count; i-- > 0;) {
        struct token *token = &tokens->all[i];
        has_angle |= is_char(token, '>');
        has_group |= is_char(token, ';');
        if (is_char(token, '<'))
            token->is_closed = has_angle;
        if (is_char(token, ':')) {
            token->is_closed = has_group;
            has_group = false;
        }
    }
}

static struct tokens read_tokens(struct arena *arena, struct str value)
{
    struct tokens tokens = { .all = arena_new_array(arena, value.len + 1, sizeof *tokens.all) };

    while (value.len > 0) {
        if (ascii_is_space(value.ptr[0]))
            value = str_skip(value, 1);
        else
            tokens.all[tokens.count++] = take_token(&value);
    }
    find_closed(&tokens);
    return tokens;
}

/* ---- items ---- */

struct parser {
    struct arena *arena;
    struct address_list *list;
    struct buf written; /* the address at hand, as it stands there */
    struct buf inside;  /* and in internal form */
    bool has_address;
    bool has_route, has_quoted_route; /* '@', '!' or '%', as they stand and quoted */
    bool has_lost_route, is_domain;   /* behind an '@' that is not quoted */
    bool is_joined;                   /* the next word still belongs to it */
    struct str *comments;             /* before an address, to be put behind it */
    size_t comment_count;
};

static void add_item(struct parser *parser, enum list_item_kind kind, struct str text)
{
    parser->list->items[parser->list->count++] =
        (struct list_item){ .kind = kind, .text = text, .address = STR("") };
}

/* Line ends in quoted strings and comments are blanks. */
static struct str one_line(struct arena *arena, struct str text)
{
    if (str_find_byte(text, '\n') < 0 && str_find_byte(text, '\r') < 0)
        return text;
    char *copy = arena_new(arena, text.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '\r')
            copy[len++] = text.ptr[i] == '\n' ? ' ' : text.ptr[i];
    return str_of(copy, len);
}

/* What is in a quoted string. In one that stays open a backslash at the end quotes nothing. */
static struct str inside_quotes(const struct token *token)
{
    struct str text = str_skip(token->text, 1);
    size_t backslashes = 0;

    if (token->is_closed)
        return str_take(text, text.len - 1);
    while (backslashes < text.len && text.ptr[text.len - 1 - backslashes] == '\\')
        backslashes++;
    return str_take(text, text.len - backslashes % 2);
}

/* A domain cannot have backslashes: none is left, in whatever way they quote each other. */
static void add_unquoted(struct parser *parser, const struct token *token)
{
    struct str text = token->text;

    if (token->kind == TOKEN_QUOTED)
        text = inside_quotes(token);
    for (size_t i = 0; i < text.len; i++) {
        bool quotes = text.ptr[i] == '\\' && token->kind != TOKEN_LITERAL;
        if (quotes && parser->is_domain)
            continue;
        if (quotes && i + 1 < text.len)
            i++;
        buf_append_byte(&parser->inside, text.ptr[i]);
    }
}

/* What leads to a domain does not where it is quoted, in whatever way. */
static void note_routes(struct parser *parser, const struct token *token)
{
    bool is_enclosed = token->kind == TOKEN_QUOTED || token->kind == TOKEN_LITERAL;

    for (size_t i = 0; i < token->text.len; i++) {
        bool is_quoted = is_enclosed;
        if (token->text.ptr[i] == '\\' && i + 1 < token->text.len) {
            is_quoted = true;
            i++;
        }
        char byte = token->text.ptr[i];
        if (byte != '@' && byte != '!' && byte != '%')
            continue;
        parser->has_quoted_route |= is_quoted;
        parser->has_route |= !is_quoted;
    }
}

/* What stays open is closed. */
static void add_to_address(struct parser *parser, const struct token *token)
{
    struct token clean = *token;

    clean.text = one_line(parser->arena, token->text);
    buf_append_text(&parser->written, token->kind == TOKEN_QUOTED ? "\"" : "");
    buf_append(&parser->written, token->kind == TOKEN_QUOTED ? inside_quotes(&clean) : clean.text);
    buf_append_text(&parser->written, token->kind == TOKEN_QUOTED ? "\"" : "");
    add_unquoted(parser, &clean);
    parser->is_domain |= is_char(token, '@');
    if (token->kind == TOKEN_LITERAL && !token->is_closed) {
        buf_append_byte(&parser->written, ']');
        buf_append_byte(&parser->inside, ']');
    }
    parser->has_address = true;
    note_routes(parser, &clean);
}

static void put_comments(struct parser *parser)
{
    for (size_t i = 0; i < parser->comment_count; i++)
        add_item(parser, LIST_COMMENT, parser->comments[i]);
    parser->comment_count = 0;
}

static void end_address(struct parser *parser, enum list_item_kind kind)
{
    add_item(parser, kind, arena_copy(parser->arena, buf_str(&parser->written)));
    struct list_item *item = &parser->list->items[parser->list->count - 1];
    item->address = arena_copy(parser->arena, buf_str(&parser->inside));
    parser->list->address_count += item->address.len > 0;
    buf_clear(&parser->written);
    buf_clear(&parser->inside);
    item->is_local = parser->has_quoted_route && !parser->has_route;
    item->has_lost_route = parser->has_lost_route;
    parser->has_address = parser->is_joined = false;
    parser->has_route = parser->has_quoted_route = false;
    parser->has_lost_route = parser->is_domain = false;
    if (kind == LIST_ADDRESS)
        put_comments(parser);
}

/* Words before an address in angle brackets, or a group: blanks stand between words alone. */
static void add_name(struct parser *parser, const struct token *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct str text = one_line(parser->arena, tokens[i].text);
        bool is_special = tokens[i].kind == TOKEN_SPECIAL;
        if (tokens[i].kind == TOKEN_COMMENT)
            add_item(parser, LIST_COMMENT, text);
        else
            add_item(parser, is_special ? LIST_JOINT : LIST_WORD, text);
    }
}

/* Words without angle brackets. A comment goes behind the address that follows it. */
static void add_addresses(struct parser *parser, const struct token *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_joint = tokens[i].kind == TOKEN_SPECIAL;
        if (parser->has_address && !parser->is_joined && !is_joint) {
            bool is_trailing = tokens[i].kind == TOKEN_COMMENT;
            for (size_t next = i; is_trailing && next < count; next++)
                is_trailing = tokens[next].kind == TOKEN_COMMENT;
            if (tokens[i].kind != TOKEN_COMMENT || is_trailing ||
                tokens[i + 1].kind != TOKEN_SPECIAL)
                end_address(parser, LIST_ADDRESS);
        }
        if (tokens[i].kind == TOKEN_COMMENT) {
            parser->comments[parser->comment_count++] = one_line(parser->arena, tokens[i].text);
            continue;
        }
        add_to_address(parser, &tokens[i]);
        parser->is_joined = is_joint;
    }
    if (parser->has_address)
        end_address(parser, LIST_ADDRESS);
    put_comments(parser);
}

/* "<@a,@b:c@d>", from the '<' on; returns how many tokens that was. */
static size_t add_angle(struct parser *parser, const struct token *tokens)
{
    size_t end = 1, start = 1;

    while (!is_char(&tokens[end], '>'))
        end++;
    if (is_char(&tokens[1], '@')) {
        while (start < end && !is_char(&tokens[start], ':'))
            start++;
        start = start < end ? start + 1 : 1;
        parser->has_lost_route = start > 1;
    }
    for (size_t i = start; i < end; i++) {
        bool is_word = tokens[i].kind != TOKEN_SPECIAL;
        if (tokens[i].kind == TOKEN_COMMENT)
            continue;
        if (is_word && i > start && tokens[i - 1].kind != TOKEN_SPECIAL) {
            buf_append_byte(&parser->written, ' ');
            buf_append_byte(&parser->inside, ' ');
        }
        add_to_address(parser, &tokens[i]);
    }
    end_address(parser, LIST_ANGLE);
    return end + 1;
}

/* Up to a separator, or an address in angle brackets. */
static size_t add_part(struct parser *parser, const struct token *tokens, size_t count)
{
    size_t end = 0;

    while (end < count && !is_separator(&tokens[end]) &&
           !(is_char(&tokens[end], '<') && tokens[end].is_closed))
        end++;
    bool has_angle = end < count && is_char(&tokens[end], '<');
    bool is_group_name = end < count && is_char(&tokens[end], ':');
    if (has_angle || is_group_name)
        add_name(parser, tokens, end);
    else
        add_addresses(parser, tokens, end);
    if (has_angle)
        return end + add_angle(parser, tokens + end);
    if (end == count)
        return end;
    add_item(parser, is_group_name && tokens[end].is_closed ? LIST_GROUP : LIST_SEPARATOR,
             tokens[end].text);
    return end + 1;
}

void address_list_parse(struct arena *arena, struct str value, struct address_list *list)
{
    struct parser parser = { .arena = arena, .list = list };
    struct tokens tokens = read_tokens(arena, value);

    parser.comments = arena_new_array(arena, tokens.count + 1, sizeof *parser.comments);
    *list = (struct address_list){ .items = arena_new_array(arena, tokens.count + 1,
                                                            sizeof *list->items) };
    for (size_t i = 0; i < tokens.count;)
        i += add_part(&parser, tokens.all + i, tokens.count - i);
    buf_free(&parser.written);
    buf_free(&parser.inside);
}

struct list_item *address_list_next(const struct address_list *list, size_t *at)
{
    while (*at < list->count) {
        struct list_item *item = &list->items[(*at)++];
        if ((item->kind == LIST_ADDRESS || item->kind == LIST_ANGLE) && item->address.len > 0)
            return item;
    }
    return NULL;
}

/* ---- formatting ---- */

/* What stands between two items. */
static const char *gap(const struct list_item *before, const struct list_item *item)
{
    if (before == NULL || item->kind == LIST_SEPARATOR || item->kind == LIST_GROUP)
        return "";
    switch (before->kind) {
    case LIST_GROUP:
    case LIST_COMMENT:
        return " ";
    case LIST_SEPARATOR:
        return before->text.ptr[0] != ';' ? "" : item->kind == LIST_COMMENT ? " " : ",";
    case LIST_ADDRESS:
        return item->kind == LIST_COMMENT ? " " : ",";
    case LIST_ANGLE:
        return item->kind == LIST_ANGLE ? " " : item->kind == LIST_ADDRESS ? "," : "";
    case LIST_JOINT:
        return item->kind == LIST_ANGLE || item->kind == LIST_COMMENT ? " " : "";
    case LIST_WORD:
        return item->kind == LIST_JOINT ? "" : " ";
    }
    return "";
}

/* The lines of a list while they are put together. */
struct lines {
    struct buf *out;
    struct buf part; /* up to a comma */
    size_t column;
    bool has_parts;
};

static void put_part(struct lines *lines)
{
    if (!lines->has_parts || lines->column + 1 + lines->part.len < LINE_BYTES_MAX) {
        buf_append_byte(lines->out, ' ');
        lines->column++;
    } else {
        buf_append(lines->out, STR("\r\n\t"));
        lines->column = 0; /* the tab does not count */
    }
    lines->has_parts = true;
    lines->column += lines->part.len;
    buf_append(lines->out, buf_str(&lines->part));
    buf_clear(&lines->part);
}

void address_list_format(const struct address_list *list, size_t column, struct buf *out)
{
    struct lines lines = { .out = out, .column = column };
    bool has_address = false; /* before the comments at hand */

    for (size_t i = 0; i < list->count; i++) {
        const struct list_item *item = &list->items[i];
        bool is_behind_comment = i > 0 && item[-1].kind == LIST_COMMENT;
        const char *before = is_behind_comment && item->kind == LIST_ADDRESS && has_address
                                 ? ","
                                 : gap(i > 0 ? item - 1 : NULL, item);
        if (item->kind != LIST_COMMENT)
            has_address = item->kind == LIST_ADDRESS || item->kind == LIST_ANGLE;
        buf_append_text(&lines.part, before);
        if (*before == ',')
            put_part(&lines);
        if (item->kind == LIST_ANGLE)
            buf_append_byte(&lines.part, '<');
        buf_append(&lines.part, item->text);
        if (item->kind == LIST_ANGLE)
            buf_append_byte(&lines.part, '>');
        if (item->kind == LIST_SEPARATOR && item->text.ptr[0] == ',')
            put_part(&lines);
    }
    put_part(&lines);
    buf_free(&lines.part);
}
