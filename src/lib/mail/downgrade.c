/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/downgrade.h"

#include "mail/header.h"

enum {
    NESTING_MAX = 100,
    BOUNDARY_BYTES_MAX = 2048,
    QUOTED_LINE_MAX = 75, /* with the '=' of a soft line break it is 76 */
};

enum entity_kind { ENTITY_LEAF, ENTITY_MULTIPART, ENTITY_MESSAGE, ENTITY_OPAQUE };

struct entity {
    enum entity_kind kind;
    bool is_digest;
    bool is_8bit; /* 8bit or binary */
    struct buf boundary;
};

struct walk {
    struct str rest;
    struct buf *out;
    struct buf boundaries[NESTING_MAX];
    bool are_digests[NESTING_MAX];
    size_t depth;
};

bool downgrade_is_needed(struct str content)
{
    for (size_t i = 0; i < content.len; i++) {
        if ((unsigned char)content.ptr[i] > 0x7f)
            return true;
    }
    return false;
}

/* ---- headers ---- */

/* The value of a parameter, without its quotes. */
static void append_parameter(struct str value, struct buf *out)
{
    value = str_trim(value);
    if (value.len == 0 || value.ptr[0] != '"') {
        buf_append(out, str_cut(&value, " \t\r\n;("));
        return;
    }
    for (size_t i = 1; i < value.len && value.ptr[i] != '"'; i++) {
        if (value.ptr[i] == '\\' && i + 1 < value.len)
            i++;
        buf_append_byte(out, value.ptr[i]);
    }
}

/* The next parameter behind a ';' that stands in no quotes. */
static bool next_parameter(struct str *value, struct str *parameter)
{
    bool is_quoted = false;
    size_t end = 0;

    if (value->len == 0)
        return false;
    for (; end < value->len && (is_quoted || value->ptr[end] != ';'); end++) {
        if (is_quoted && value->ptr[end] == '\\')
            end++;
        else if (value->ptr[end] == '"')
            is_quoted = !is_quoted;
    }
    *parameter = str_trim(str_take(*value, end));
    *value = str_skip(*value, end + 1);
    return true;
}

static void read_content_type(struct str value, struct entity *entity)
{
    struct str parameter, type;

    if (!next_parameter(&value, &type))
        return;
    if (str_starts_with_fold(type, STR("message/")))
        entity->kind = str_equal_fold(type, STR("message/rfc822")) ||
                               str_equal_fold(type, STR("message/global"))
                           ? ENTITY_MESSAGE
                           : ENTITY_OPAQUE;
    else if (str_starts_with_fold(type, STR("multipart/")))
        entity->kind = ENTITY_MULTIPART;
    entity->is_digest = str_equal_fold(type, STR("multipart/digest"));
    while (next_parameter(&value, &parameter)) {
        struct str text = parameter, name = str_trim(str_cut(&text, "="));
        if (str_equal_fold(name, STR("boundary")) && entity->boundary.len == 0)
            append_parameter(str_take(text, BOUNDARY_BYTES_MAX), &entity->boundary);
    }
}

static bool is_8bit_name(struct str value)
{
    struct str word;

    return str_next_word(&value, " \t\r\n;(", &word) &&
           (str_equal_fold(word, STR("8bit")) || str_equal_fold(word, STR("binary")));
}

/* Reads and copies the headers of one entity; its encoding is written as it will be. */
static void take_headers(struct walk *walk, struct entity *entity)
{
    struct str ahead = walk->rest, before;
    struct header header;

    while (header_next(&ahead, &header)) {
        if (header_is(&header, "Content-Type"))
            read_content_type(header.value, entity);
        if (header_is(&header, "Content-Transfer-Encoding"))
            entity->is_8bit = is_8bit_name(header.value);
    }
    for (before = walk->rest; header_next(&walk->rest, &header); before = walk->rest) {
        struct str whole = str_take(before, before.len - walk->rest.len);
        if (!header_is(&header, "Content-Transfer-Encoding") || !entity->is_8bit ||
            entity->kind == ENTITY_OPAQUE)
            buf_append(walk->out, whole);
        else if (entity->kind == ENTITY_LEAF)
            buf_append_text(walk->out, "Content-Transfer-Encoding: quoted-printable\r\n");
        else
            buf_append_text(walk->out, "Content-Transfer-Encoding: 7bit\r\n");
    }
    struct str empty_line = str_take(before, before.len - walk->rest.len);
    buf_append(walk->out, empty_line);
    /* Without one, the beginning of a body that is encoded could look like another header. */
    if (empty_line.len == 0 && walk->rest.len > 0 && entity->kind == ENTITY_LEAF && entity->is_8bit)
        buf_append_text(walk->out, "\r\n");
}

/* ---- bodies ---- */

static void append_quoted(struct buf *out, unsigned char byte)
{
    static const char digits[] = "0123456789ABCDEF";

    buf_append_byte(out, '=');
    buf_append_byte(out, digits[byte >> 4]);
    buf_append_byte(out, digits[byte & 15]);
}

/* One line, without its end. A '-' behind a soft line break must not begin a boundary. */
static void append_quoted_line(struct str line, struct buf *out)
{
    size_t column = 0;

    for (size_t i = 0; i < line.len; i++) {
        unsigned char byte = (unsigned char)line.ptr[i];
        bool is_last_blank = (byte == ' ' || byte == '\t') && i + 1 == line.len;
        bool is_plain =
            (ascii_is_print((char)byte) || byte == '\t') && byte != '=' && !is_last_blank;
        if (column + (is_plain ? 1 : 3) > QUOTED_LINE_MAX) {
            buf_append_text(out, "=\r\n");
            column = 0;
            is_plain = is_plain && byte != '-';
        }
        if (is_plain)
            buf_append_byte(out, (char)byte);
        else
            append_quoted(out, byte);
        column += is_plain ? 1 : 3;
    }
}

static void pop_to(struct walk *walk, size_t depth)
{
    while (walk->depth > depth)
        buf_free(&walk->boundaries[--walk->depth]);
}

enum line_kind { LINE_TEXT, LINE_PART, LINE_END };

/* A boundary of whatever level: the inner ones end with it. */
static enum line_kind read_boundary(struct walk *walk, struct str line)
{
    if (!str_starts_with(line, STR("--")))
        return LINE_TEXT;
    for (size_t i = walk->depth; i > 0; i--) {
        struct str boundary = buf_str(&walk->boundaries[i - 1]);
        struct str behind = str_skip(line, 2);
        if (!str_starts_with(behind, boundary))
            continue;
        behind = str_trim_end(str_skip(behind, boundary.len));
        if (behind.len > 0 && !str_starts_with(behind, STR("--")))
            continue;
        pop_to(walk, behind.len > 0 ? i - 1 : i);
        return behind.len > 0 ? LINE_END : LINE_PART;
    }
    return LINE_TEXT;
}

static struct str take_line(struct str *rest, struct str *end)
{
    ptrdiff_t newline = str_find_byte(*rest, '\n');
    size_t len = newline < 0 ? rest->len : (size_t)newline;
    size_t text = len > 0 && newline >= 0 && rest->ptr[len - 1] == '\r' ? len - 1 : len;
    struct str line = str_take(*rest, text);

    *end = newline < 0 ? STR("") : STR("\r\n");
    *rest = str_skip(*rest, len + 1);
    return line;
}

/* Up to a boundary (true) or the end of everything. */
static bool take_body(struct walk *walk, bool is_quoted)
{
    while (walk->rest.len > 0) {
        struct str end, line = take_line(&walk->rest, &end);
        enum line_kind kind = read_boundary(walk, line);
        if (kind == LINE_TEXT && is_quoted)
            append_quoted_line(line, walk->out);
        else
            buf_append(walk->out, line);
        buf_append(walk->out, end);
        if (kind == LINE_PART)
            return true;
        if (kind == LINE_END)
            is_quoted = false; /* what follows belongs to nobody */
    }
    return false;
}

static void push(struct walk *walk, struct entity *entity)
{
    walk->boundaries[walk->depth] = entity->boundary;
    walk->are_digests[walk->depth++] = entity->is_digest;
    entity->boundary = (struct buf){ 0 };
}

void downgrade_content(struct str content, struct buf *out)
{
    struct walk walk = { .rest = content, .out = out };
    bool is_more = true, begins_part = false;

    while (is_more) {
        struct entity entity = { 0 };
        if (begins_part && walk.depth > 0 && walk.are_digests[walk.depth - 1])
            entity.kind = ENTITY_MESSAGE;
        take_headers(&walk, &entity);
        if (entity.kind == ENTITY_MULTIPART && entity.boundary.len > 0 && walk.depth < NESTING_MAX)
            push(&walk, &entity);
        begins_part = entity.kind != ENTITY_MESSAGE;
        if (begins_part)
            is_more = take_body(&walk, entity.kind == ENTITY_LEAF && entity.is_8bit);
        else
            is_more = walk.rest.len > 0;
        buf_free(&entity.boundary);
    }
    pop_to(&walk, 0);
}
