/* SPDX-License-Identifier: Apache-2.0 */
#include "table_message.h"

#include "mail/header.h"

struct walk {
    unsigned parts;
    void (*key)(void *argument, struct str text);
    void *argument;
};

/* The text with every line end as CRLF. */
static void to_crlf(struct str text, struct buf *out)
{
    while (text.len > 0) {
        struct str line = str_cut(&text, "\n");
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        buf_append(out, line);
        buf_append_text(out, "\r\n");
    }
}

static void tell_header(const struct walk *walk, struct str header)
{
    autofree_buf struct buf text = { 0 };

    if ((walk->parts & TABLE_MESSAGE_HEADERS) == 0)
        return;
    for (size_t i = 0; i < header.len; i++)
        if (header.ptr[i] != '\r')
            buf_append_byte(&text, header.ptr[i]);
    walk->key(walk->argument, buf_str(&text));
}

static void part_header(void *argument, enum mime_headers where, struct str header)
{
    (void)where;
    tell_header(argument, header);
}

static void body_text(void *argument, struct str piece, bool ends_line, uint64_t offset)
{
    const struct walk *walk = argument;

    (void)ends_line, (void)offset;
    if ((walk->parts & TABLE_MESSAGE_BODY) != 0)
        walk->key(walk->argument, piece);
}

/* Headers up to the body; whether there is an empty line behind them. */
static bool walk_headers(struct walk *walk, struct mime_walker *walker, struct str *content)
{
    struct header header;
    size_t before = content->len;

    while (header_next(content, &header)) {
        tell_header(walk, header.whole);
        mime_walker_header(walker, header.name, header.value);
        before = content->len;
    }
    return content->len < before;
}

void table_message_keys(struct str message, unsigned parts, const struct mime_limits *limits,
                        void (*key)(void *argument, struct str text), void *argument)
{
    struct walk walk = { parts, key, argument };
    const struct mime_events events = { .header = part_header,
                                        .text = body_text,
                                        .argument = &walk };
    autofree_buf struct buf content = { 0 };
    bool looks_into_parts = (parts & TABLE_MESSAGE_PARTS) != 0;
    struct mime_walker *walker = mime_walker_new(limits, &events, looks_into_parts);

    to_crlf(message, &content);
    struct str rest = buf_str(&content);
    bool has_separator = walk_headers(&walk, walker, &rest);
    /* The line between them is the first of the body. */
    if (has_separator || rest.len > 0)
        body_text(&walk, STR(""), true, 0);
    mime_walker_add(walker, rest);
    mime_walker_end(walker);
    mime_walker_free(&walker);
}
