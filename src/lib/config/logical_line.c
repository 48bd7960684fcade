/* SPDX-License-Identifier: Apache-2.0 */
#include "config/logical_line.h"

void logical_line_start(struct logical_line_reader *reader, struct str text)
{
    static const struct str byte_order_mark = STR_INIT("\xef\xbb\xbf");

    if (str_starts_with(text, byte_order_mark))
        text = str_skip(text, byte_order_mark.len);
    *reader = (struct logical_line_reader){ text, 1 };
}

static struct str peek_physical(const struct logical_line_reader *reader, size_t *len)
{
    ptrdiff_t end = str_find_byte(reader->rest, '\n');

    *len = end < 0 ? reader->rest.len : (size_t)end + 1;
    return str_take(reader->rest, end < 0 ? reader->rest.len : (size_t)end);
}

bool logical_line_next(struct logical_line_reader *reader, struct buf *text, int *line)
{
    bool has_begun = false;

    buf_clear(text);
    while (!str_is_empty(reader->rest)) {
        size_t len;
        struct str physical = peek_physical(reader, &len);
        struct str visible = str_trim(physical);
        bool counts = !str_is_empty(visible) && visible.ptr[0] != '#';

        if (counts && has_begun && !ascii_is_space(physical.ptr[0]))
            return true;
        if (counts) {
            if (!has_begun)
                *line = reader->line;
            has_begun = true;
            if (str_ends_with(physical, STR("\r")))
                physical = str_take(physical, physical.len - 1);
            buf_append(text, physical);
        }
        reader->rest = str_skip(reader->rest, len);
        reader->line++;
    }
    return has_begun;
}
