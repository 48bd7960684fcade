/* SPDX-License-Identifier: Apache-2.0 */
/* The walk through MIME parts tells the same whether content comes whole or byte by byte. */
#include "base/buf.h"
#include "base/ensure.h"
#include "mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void header(void *argument, enum mime_headers where, struct str text)
{
    struct buf *told = argument;

    buf_printf(told, "[%d]", (int)where);
    buf_append(told, text);
    buf_append_byte(told, '\n');
}

static void text(void *argument, struct str piece, bool ends_line, uint64_t offset)
{
    struct buf *told = argument;

    (void)offset;
    buf_append(told, piece);
    if (ends_line)
        buf_append_byte(told, '\n');
}

static void walk(struct str type, struct str content, size_t portion, struct buf *told)
{
    const struct mime_limits limits = { .nesting = 10,
                                        .boundary_bytes = 64,
                                        .header_bytes = 500,
                                        .line_bytes = 100 };
    const struct mime_events events = { .header = header, .text = text, .argument = told };
    struct mime_walker *walker = mime_walker_new(&limits, &events, true);

    mime_walker_header(walker, STR("Content-Type"), type);
    while (content.len > 0) {
        mime_walker_add(walker, str_take(content, portion));
        content = str_skip(content, portion);
    }
    mime_walker_end(walker);
    mime_walker_free(&walker);
}

/* The first line is the value of Content-Type. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree_buf struct buf whole = { 0 }, bytewise = { 0 };
    struct str rest = str_of((const char *)data, size);
    struct str type = str_cut(&rest, "\n");
    struct content_type parsed = { 0 };

    content_type_parse(type, 64, &parsed);
    ensure(parsed.boundary.len <= 64);
    buf_free(&parsed.boundary);
    walk(type, rest, size + 1, &whole);
    walk(type, rest, 1, &bytewise);
    ensure(str_equal(buf_str(&whole), buf_str(&bytewise)));
    return 0;
}
