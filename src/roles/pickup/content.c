/* SPDX-License-Identifier: Apache-2.0 */
#include "content.h"

static void end_line(struct content *content, struct buf *out)
{
    buf_append(out, STR("\r\n"));
    content->line_count++;
    content->is_in_line = false;
}

static void add_run(struct content *content, struct str run, struct buf *out)
{
    if (run.len == 0)
        return;
    for (size_t i = 0; i < run.len && !content->has_8bit; i++)
        content->has_8bit = (unsigned char)run.ptr[i] >= 0x80;
    buf_append(out, run);
    content->is_in_line = true;
}

void content_add(struct content *content, struct str portion, struct buf *out)
{
    while (portion.len > 0) {
        size_t run = 0;
        while (run < portion.len && portion.ptr[run] != '\n' && portion.ptr[run] != '\r')
            run++;
        add_run(content, str_take(portion, run), out);
        if (run < portion.len && portion.ptr[run] == '\r')
            add_run(content, STR(" "), out);
        else if (run < portion.len)
            end_line(content, out);
        portion = str_skip(portion, run + 1);
    }
}

void content_end(struct content *content, struct buf *out)
{
    if (content->is_in_line)
        end_line(content, out);
}
