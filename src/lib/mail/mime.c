/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/mime.h"

#include "base/memory.h"
#include "mail/header.h"

enum { NESTING_SPARE = 2, NESTING_MAX = 10000 };

struct mime_walker {
    struct mime_limits limits;
    size_t depth_max;
    struct mime_events events;
    bool looks_into_parts;
    enum { AT_START, IN_BODY, IN_HEADERS } state;
    enum mime_headers where;         /* IN_HEADERS */
    struct content_type type;        /* of the headers at hand */
    enum transfer_encoding encoding; /* of them, and then of the body behind them */
    struct buf *boundaries;          /* of the parts that we are in, the innermost last */
    bool *are_digests;
    size_t depth;
    struct buf header;      /* the logical header at hand */
    struct buf type_header; /* the Content-Type of the headers at hand */
    struct buf line;        /* a line that is not complete yet */
    bool is_inside;         /* the line at hand had pieces before */
    uint64_t offset;
};

/* ---- Content-Type ---- */

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_QUOTED, TOKEN_SPECIAL };

/* From behind the '(' to behind its ')', with those inside. */
static struct str skip_comment(struct str text)
{
    size_t depth = 1;

    while (text.len > 0 && depth > 0) {
        char byte = text.ptr[0];
        text = str_skip(text, byte == '\\' ? 2 : 1);
        if (byte == '(')
            depth++;
        else if (byte == ')')
            depth--;
    }
    return text;
}

static struct str skip_blanks(struct str text)
{
    while (text.len > 0 && (ascii_is_space(text.ptr[0]) || text.ptr[0] == '('))
        text = text.ptr[0] == '(' ? skip_comment(str_skip(text, 1)) : str_skip(text, 1);
    return text;
}

static struct str take_quoted(struct str text, size_t limit_bytes, struct buf *out)
{
    while (text.len > 0 && text.ptr[0] != '"') {
        if (text.ptr[0] == '\\')
            text = str_skip(text, 1);
        if (text.len > 0 && out->len < limit_bytes)
            buf_append_byte(out, text.ptr[0]);
        text = str_skip(text, 1);
    }
    return str_skip(text, 1);
}

static enum token_kind take_token(struct str *text, size_t limit_bytes, struct buf *out)
{
    struct str rest = skip_blanks(*text);
    size_t len = 0;

    buf_clear(out);
    *text = rest;
    if (rest.len == 0)
        return TOKEN_END;
    if (rest.ptr[0] == '"') {
        *text = take_quoted(str_skip(rest, 1), limit_bytes, out);
        return TOKEN_QUOTED;
    }
    while (len < rest.len && !ascii_is_space(rest.ptr[len]) &&
           memchr("()<>@,;:\\\"/[]?=", rest.ptr[len], 15) == NULL)
        len++;
    buf_append(out, str_take(rest, len == 0 ? 1 : len < limit_bytes ? len : limit_bytes));
    *text = str_skip(rest, len == 0 ? 1 : len);
    return len == 0 ? TOKEN_SPECIAL : TOKEN_WORD;
}

static bool token_is(const struct buf *token, const char *text)
{
    return str_equal_fold(buf_str(token), str_from(text));
}

/* The first boundary= in what follows the type. */
static void find_boundary(struct str rest, size_t limit_bytes, struct buf *boundary)
{
    autofree_buf struct buf token = { 0 };
    bool is_boundary = false;

    for (;;) {
        enum token_kind kind = take_token(&rest, limit_bytes, &token);
        if (kind == TOKEN_END)
            return;
        if (kind == TOKEN_WORD && !is_boundary) {
            is_boundary = token_is(&token, "boundary");
            continue;
        }
        if (!is_boundary || (kind == TOKEN_SPECIAL && token_is(&token, "=")))
            continue;
        if (kind == TOKEN_WORD || kind == TOKEN_QUOTED) {
            buf_append(boundary, buf_str(&token));
            return;
        }
        is_boundary = false;
    }
}

void content_type_parse(struct str value, size_t limit_bytes, struct content_type *type)
{
    autofree_buf struct buf token = { 0 };

    type->is_multipart = type->is_message = type->is_digest = type->is_piece = false;
    buf_clear(&type->boundary);
    if (take_token(&value, limit_bytes, &token) != TOKEN_WORD)
        return;
    bool is_message = token_is(&token, "message");
    type->is_multipart = token_is(&token, "multipart");
    if (take_token(&value, limit_bytes, &token) != TOKEN_SPECIAL || !token_is(&token, "/") ||
        take_token(&value, limit_bytes, &token) != TOKEN_WORD)
        return;
    type->is_message = is_message && (token_is(&token, "rfc822") || token_is(&token, "global"));
    type->is_piece =
        is_message && (token_is(&token, "partial") || token_is(&token, "external-body"));
    type->is_digest = type->is_multipart && token_is(&token, "digest");
    if (type->is_multipart)
        find_boundary(value, limit_bytes, &type->boundary);
}

/* ---- Content-Transfer-Encoding ---- */

static const char *const encoding_names[] = {
    [TRANSFER_7BIT] = "7bit",     [TRANSFER_8BIT] = "8bit",
    [TRANSFER_BINARY] = "binary", [TRANSFER_QUOTED_PRINTABLE] = "quoted-printable",
    [TRANSFER_BASE64] = "base64",
};

enum transfer_encoding transfer_encoding_parse(struct str value)
{
    autofree_buf struct buf token = { 0 };

    if (take_token(&value, 100, &token) != TOKEN_WORD)
        return TRANSFER_7BIT;
    for (unsigned i = 0; i < sizeof encoding_names / sizeof encoding_names[0]; i++) {
        if (token_is(&token, encoding_names[i]))
            return (enum transfer_encoding)i;
    }
    return TRANSFER_7BIT;
}

/* ---- life ---- */

struct mime_walker *mime_walker_new(const struct mime_limits *limits,
                                    const struct mime_events *events, bool looks_into_parts)
{
    struct mime_walker *walker = memory_new(sizeof *walker);

    walker->limits = *limits;
    walker->events = *events;
    walker->looks_into_parts = looks_into_parts;
    walker->depth_max =
        (limits->nesting < NESTING_MAX ? limits->nesting : NESTING_MAX) + NESTING_SPARE;
    walker->boundaries = memory_new(walker->depth_max * sizeof *walker->boundaries);
    walker->are_digests = memory_new(walker->depth_max * sizeof *walker->are_digests);
    return walker;
}

void mime_walker_free(struct mime_walker **walker)
{
    struct mime_walker *gone = *walker;

    if (gone == NULL)
        return;
    for (size_t i = 0; i < gone->depth_max; i++)
        buf_free(&gone->boundaries[i]);
    memory_free(gone->boundaries);
    memory_free(gone->are_digests);
    buf_free(&gone->type.boundary);
    buf_free(&gone->header);
    buf_free(&gone->type_header);
    buf_free(&gone->line);
    memory_free(gone);
    *walker = NULL;
}

/* ---- headers ---- */

void mime_walker_header(struct mime_walker *walker, struct str name, struct str value)
{
    /* Of several the last one counts, as in Postfix. */
    if (str_equal_fold(name, STR("Content-Type")))
        content_type_parse(value, walker->limits.boundary_bytes, &walker->type);
    if (str_equal_fold(name, STR("Content-Transfer-Encoding")))
        walker->encoding = transfer_encoding_parse(value);
}

bool mime_walker_is_7bit(const struct mime_walker *walker)
{
    return walker->encoding == TRANSFER_7BIT;
}

static void end_header(struct mime_walker *walker)
{
    struct str rest = buf_str(&walker->header);
    struct header header;

    if (rest.len == 0)
        return;
    walker->events.header(walker->events.argument, walker->where, rest);
    if (header_next(&rest, &header)) {
        mime_walker_header(walker, header.name, header.value);
        if (str_equal_fold(header.name, STR("Content-Type"))) {
            buf_clear(&walker->type_header);
            buf_append(&walker->type_header, buf_str(&walker->header));
        }
    }
    buf_clear(&walker->header);
}

static void begin_headers(struct mime_walker *walker, enum mime_headers where, bool is_digest)
{
    walker->state = IN_HEADERS;
    walker->where = where;
    buf_clear(&walker->type.boundary);
    buf_clear(&walker->type_header);
    walker->type.is_multipart = walker->type.is_digest = walker->type.is_piece = false;
    walker->type.is_message = is_digest;
    walker->encoding = TRANSFER_7BIT;
    walker->offset = 0;
}

static bool has_wrong_encoding(const struct mime_walker *walker)
{
    if (walker->type.is_piece)
        return walker->encoding == TRANSFER_8BIT || walker->encoding == TRANSFER_BINARY;
    return (walker->type.is_message || walker->type.is_multipart) &&
           (walker->encoding == TRANSFER_QUOTED_PRINTABLE || walker->encoding == TRANSFER_BASE64);
}

/* Behind the headers: what their type says comes next. */
static void end_headers(struct mime_walker *walker)
{
    end_header(walker);
    walker->state = IN_BODY;
    walker->offset = 0;
    if (!walker->looks_into_parts)
        return;
    if (has_wrong_encoding(walker) && walker->events.wrong_encoding != NULL)
        walker->events.wrong_encoding(walker->events.argument, encoding_names[walker->encoding]);
    if (walker->type.is_message) {
        begin_headers(walker, MIME_NESTED_HEADERS, false);
    } else if (walker->type.boundary.len > 0 && walker->depth == walker->depth_max) {
        if (walker->events.too_deep != NULL)
            walker->events.too_deep(walker->events.argument, buf_str(&walker->type_header));
    } else if (walker->type.boundary.len > 0) {
        buf_clear(&walker->boundaries[walker->depth]);
        buf_append(&walker->boundaries[walker->depth], buf_str(&walker->type.boundary));
        walker->are_digests[walker->depth++] = walker->type.is_digest;
    }
}

/* ---- lines ---- */

/* The innermost of the parts that we are in whose boundary the line is. */
static bool find_boundary_of(const struct mime_walker *walker, struct str line, size_t *level,
                             bool *is_last)
{
    struct str rest = str_skip(line, 2);

    if (!str_starts_with(line, STR("--")))
        return false;
    for (size_t i = walker->depth; i-- > 0;) {
        struct str boundary = buf_str(&walker->boundaries[i]);
        if (!str_starts_with(rest, boundary))
            continue;
        *level = i;
        *is_last = str_starts_with(str_skip(rest, boundary.len), STR("--"));
        return true;
    }
    return false;
}

static void tell_text(struct mime_walker *walker, struct str piece, bool ends_line)
{
    walker->events.text(walker->events.argument, piece, ends_line, walker->offset);
    walker->offset += piece.len + (ends_line ? 1 : 0);
}

/* As Postfix has it, the boundary that begins a part belongs to the body before it, the one that
 * ends all parts to the body behind it. */
static void body_line(struct mime_walker *walker, struct str piece, bool ends_line)
{
    size_t level;
    bool is_last;

    if (walker->is_inside || !find_boundary_of(walker, piece, &level, &is_last)) {
        tell_text(walker, piece, ends_line);
        return;
    }
    walker->depth = is_last ? level : level + 1;
    walker->state = IN_BODY;
    if (is_last)
        walker->offset = 0;
    tell_text(walker, piece, ends_line);
    if (!is_last)
        begin_headers(walker, MIME_PART_HEADERS, walker->are_digests[level]);
}

static bool is_header_line(struct str line)
{
    struct header header;

    return header_next(&line, &header);
}

/* Anything but a header or an empty line ends the headers, too, and is body text; so is what is too
 * long for a header. */
static void header_line(struct mime_walker *walker, struct str piece, bool ends_line)
{
    bool is_whole = ends_line && !walker->is_inside;
    bool fits = is_whole && walker->header.len + piece.len <= walker->limits.header_bytes;

    if (fits && walker->header.len > 0 && piece.len > 0 &&
        (piece.ptr[0] == ' ' || piece.ptr[0] == '\t')) {
        buf_append(&walker->header, STR("\r\n"));
        buf_append(&walker->header, piece);
        return;
    }
    bool is_header = is_whole && piece.len <= walker->limits.header_bytes && is_header_line(piece);
    if (is_header) {
        end_header(walker);
        buf_append(&walker->header, piece);
        return;
    }
    end_headers(walker);
    if (is_whole && piece.len == 0) {
        tell_text(walker, piece, true);
        return;
    }
    /* An attached message begins with its body. */
    if (walker->state == IN_HEADERS)
        end_headers(walker);
    body_line(walker, piece, ends_line);
}

static void take_line(struct mime_walker *walker, struct str piece, bool ends_line)
{
    if (walker->state == IN_HEADERS)
        header_line(walker, piece, ends_line);
    else
        body_line(walker, piece, ends_line);
    walker->is_inside = !ends_line;
}

/* All of `text` but what may be the end of the line still: a piece, or a CR. Returns how much. */
static size_t take_pieces(struct mime_walker *walker, struct str text)
{
    size_t done = 0;

    for (;;) {
        size_t limit =
            walker->state == IN_HEADERS ? walker->limits.header_bytes : walker->limits.line_bytes;
        if (text.len - done <= limit + 1)
            return done;
        take_line(walker, str_of(text.ptr + done, limit), false);
        done += limit;
    }
}

/* `text` is a line up to its LF, or the rest of one. */
static void take_end(struct mime_walker *walker, struct str text)
{
    if (str_ends_with(text, STR("\r")))
        text.len--;
    size_t done = take_pieces(walker, text);
    take_line(walker, str_skip(text, done), true);
}

/* ---- content ---- */

void mime_walker_add(struct mime_walker *walker, struct str bytes)
{
    if (walker->state == AT_START) {
        end_headers(walker);
        walker->offset = 1; /* the empty line that we do not see belongs to the body, in Postfix */
    }
    while (bytes.len > 0) {
        ptrdiff_t newline = str_find_byte(bytes, '\n');
        size_t len = newline < 0 ? bytes.len : (size_t)newline;
        struct str part = str_take(bytes, len);
        bytes = str_skip(bytes, newline < 0 ? len : len + 1);
        if (newline >= 0 && walker->line.len == 0) {
            take_end(walker, part);
            continue;
        }
        buf_append(&walker->line, part);
        if (newline < 0) {
            buf_consume(&walker->line, take_pieces(walker, buf_str(&walker->line)));
            continue;
        }
        take_end(walker, buf_str(&walker->line));
        buf_clear(&walker->line);
    }
}

void mime_walker_end(struct mime_walker *walker)
{
    if (walker->line.len > 0)
        take_line(walker, buf_str(&walker->line), false);
    buf_clear(&walker->line);
    end_header(walker);
}
