/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 5322 address lists, read leniently: comments go, what stands in angle brackets is the
 * address, otherwise all of it; the names of groups go.
 */
#include "mail/address.h"
#include "mail/header.h"
#include "mail/rewrite.h"

/* What the text means at the current byte. */
struct list_reader {
    struct str rest;
    struct buf plain; /* outside brackets, without comments, blanks only between words */
    struct buf angle; /* inside < and > */
    bool has_angle, is_in_angle, wants_blank;
};

/* Takes a comment, with those inside it. */
static struct str skip_comment(struct str text)
{
    size_t depth = 0, i;

    for (i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == '(')
            depth++;
        else if (text.ptr[i] == ')' && --depth == 0)
            break;
    }
    return str_skip(text, i + 1);
}

static void put(struct list_reader *reader, struct str bytes)
{
    struct buf *out = reader->is_in_angle ? &reader->angle : &reader->plain;

    if (reader->wants_blank && out->len > 0)
        buf_append_byte(out, ' ');
    reader->wants_blank = false;
    for (size_t i = 0; i < bytes.len; i++)
        buf_append_byte(out, bytes.ptr[i] == '\r' || bytes.ptr[i] == '\n' ? ' ' : bytes.ptr[i]);
}

/* The length of a quoted string, or of an address literal; to the end where it stays open. */
static size_t closed_length(struct str text, char end)
{
    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == end)
            return i + 1;
    }
    return text.len;
}

static void put_closed(struct list_reader *reader, char end)
{
    size_t len = closed_length(reader->rest, end);

    put(reader, str_take(reader->rest, len));
    reader->rest = str_skip(reader->rest, len);
}

/* One byte or token; false at a ',' or ';' that ends an address. */
static bool step(struct list_reader *reader)
{
    char byte = reader->rest.ptr[0];

    if (byte == '"' || byte == '[') {
        put_closed(reader, byte == '"' ? '"' : ']');
        return true;
    }
    if (byte == '(') {
        reader->rest = skip_comment(reader->rest);
        return true;
    }
    struct str taken = str_take(reader->rest, byte == '\\' ? 2 : 1);
    reader->rest = str_skip(reader->rest, taken.len);
    if (ascii_is_space(byte)) {
        reader->wants_blank = true;
    } else if (byte == '<' || byte == '>') {
        reader->is_in_angle = byte == '<';
        reader->has_angle |= byte == '<';
        reader->wants_blank = false;
    } else if (!reader->is_in_angle && (byte == ',' || byte == ';')) {
        return false;
    } else if (!reader->is_in_angle && byte == ':') {
        buf_clear(&reader->plain); /* the name of a group */
    } else {
        put(reader, taken);
    }
    return true;
}

/* Blanks around '@' and '.' mean nothing. */
static struct str without_loose_blanks(struct arena *arena, struct str text)
{
    char *copy = arena_new(arena, text.len + 1);
    size_t len = 0;
    bool is_quoted = false;

    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        is_quoted ^= byte == '"';
        bool is_loose = byte == ' ' && !is_quoted &&
                        ((len > 0 && memchr("@.", copy[len - 1], 2) != NULL) ||
                         (i + 1 < text.len && memchr("@.", text.ptr[i + 1], 2) != NULL));
        if (!is_loose)
            copy[len++] = byte;
    }
    return str_of(copy, len);
}

/* "@a,@b:c@d" → "c@d" */
static struct str without_route(struct str text)
{
    ptrdiff_t colon = text.len > 0 && text.ptr[0] == '@' ? str_find_byte(text, ':') : -1;

    return str_skip(text, (size_t)(colon + 1));
}

bool header_next_address(struct arena *arena, struct str *value, struct str *address)
{
    struct list_reader reader = { .rest = *value };

    *address = STR("");
    while (reader.rest.len > 0 && address->len == 0) {
        buf_clear(&reader.plain);
        buf_clear(&reader.angle);
        reader.has_angle = reader.is_in_angle = reader.wants_blank = false;
        while (reader.rest.len > 0 && step(&reader))
            continue;
        struct str text = buf_str(reader.has_angle ? &reader.angle : &reader.plain);
        text = without_route(without_loose_blanks(arena, text));
        *address = address_unquote(arena, text);
    }
    *value = reader.rest;
    buf_free(&reader.plain);
    buf_free(&reader.angle);
    return address->len > 0;
}

/* ---- rewriting ---- */

/* Where one address stands in the value: in angle brackets, or else what is no comment. */
struct span {
    size_t start, end;
    bool is_there, is_angle;
};

static void span_grow(struct span *span, size_t start, size_t end)
{
    if (!span->is_there)
        span->start = start;
    span->is_there = true;
    span->end = end;
}

/* Takes tokens off the value until an address is complete; returns where that is. */
static size_t find_span(struct str value, size_t at, struct span *span)
{
    *span = (struct span){ 0 };
    while (at < value.len) {
        struct str rest = str_skip(value, at);
        char byte = rest.ptr[0];
        size_t len = byte == '"'    ? closed_length(rest, '"')
                     : byte == '['  ? closed_length(rest, ']')
                     : byte == '('  ? rest.len - skip_comment(rest).len
                     : byte == '\\' ? str_take(rest, 2).len
                                    : 1;
        if (byte == ',' || byte == ';')
            break;
        if (byte == '<') {
            len = closed_length(rest, '>');
            bool is_closed = len > 2 && rest.ptr[len - 1] == '>';
            *span = (struct span){ at + 1, at + len - 1, is_closed, true };
        } else if (byte == ':') {
            *span = (struct span){ 0 };
        } else if (!span->is_angle && byte != '(' && !ascii_is_space(byte)) {
            span_grow(span, at, at + len);
        }
        at += len;
    }
    return at;
}

/* The address that the text is, in internal form; false where it is none that we touch. */
static bool read_span(struct arena *arena, struct str text, struct str *address)
{
    static const struct path_rules rules = { .kind = PATH_RECIPIENT, .is_utf8 = true };
    struct path path;

    text = without_loose_blanks(arena, str_trim(text));
    if (str_find_byte(text, '\0') >= 0) /* printf would stop there */
        return false;
    text = str_from(arena_printf(arena, "TO:<%.*s>", STR_ARGS(text)));
    if (path_parse(arena, text, rules, &path) != PATH_OK)
        return false;
    *address = path.address;
    return true;
}

static bool rewrite_span(const struct header_rewriter *rewriter, struct arena *arena,
                         bool is_sender, struct str *address)
{
    *address = rewrite_address(arena, rewriter->rules, *address);
    return rewriter->map == NULL || rewriter->map(rewriter->argument, is_sender, address);
}

bool header_rewrite_addresses(const struct header_rewriter *rewriter, bool is_sender,
                              struct str value, struct buf *out)
{
    autoclear_arena struct arena arena = { 0 };
    size_t copied = 0, at = 0;

    while (at < value.len) {
        struct span span;
        struct str address;
        at = find_span(value, at, &span) + 1;
        if (!span.is_there || span.end < span.start)
            continue;
        struct str text = str_of(value.ptr + span.start, span.end - span.start);
        if (!read_span(&arena, text, &address))
            continue;
        struct str rewritten = address;
        if (!rewrite_span(rewriter, &arena, is_sender, &rewritten))
            return false;
        if (str_equal_fold(rewritten, address))
            continue;
        buf_append(out, str_of(value.ptr + copied, span.start - copied));
        address_format(rewritten, out);
        copied = span.end;
    }
    buf_append(out, str_skip(value, copied));
    return true;
}
