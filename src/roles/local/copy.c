/* SPDX-License-Identifier: Apache-2.0 */
#include "copy.h"

#include "mail/address.h"

#include <time.h>

static void put_header(const struct copy *copy, const char *name, struct str address,
                       struct buf *out)
{
    buf_append_text(out, name);
    address_format(address, out);
    buf_append(out, copy->eol);
}

static void put_from_line(const struct copy *copy, struct buf *out)
{
    time_t wall_s = (time_t)copy->wall_s;
    struct tm local;
    char date[40];

    buf_append(out, STR("From "));
    if (copy->sender.len == 0)
        buf_append(out, STR("MAILER-DAEMON"));
    else
        address_format(copy->sender, out);
    localtime_r(&wall_s, &local);
    buf_append(out, STR("  "));
    buf_append(out, str_of(date, strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &local)));
    buf_append(out, copy->eol);
}

static struct str next_line(struct str *rest)
{
    ptrdiff_t end = str_find_byte(*rest, '\n');
    size_t len = end < 0 ? rest->len : (size_t)end;
    struct str line = str_take(*rest, len);

    *rest = str_skip(*rest, end < 0 ? len : len + 1);
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

void copy_format(const struct copy *copy, struct buf *out)
{
    struct str rest = copy->content;

    if (copy->flags & COPY_FROM_LINE)
        put_from_line(copy, out);
    if (copy->flags & COPY_RETURN_PATH) {
        buf_append(out, STR("Return-Path: "));
        address_format_angle(copy->sender, out);
        buf_append(out, copy->eol);
    }
    if ((copy->flags & COPY_ORIGINAL) && copy->original_to.len > 0)
        put_header(copy, "X-Original-To: ", copy->original_to, out);
    if (copy->flags & COPY_DELIVERED)
        put_header(copy, "Delivered-To: ", copy->delivered_to, out);
    while (rest.len > 0) {
        struct str line = next_line(&rest);
        if ((copy->flags & COPY_QUOTE_FROM) && str_starts_with(line, STR("From ")))
            buf_append_byte(out, '>');
        if ((copy->flags & COPY_STUFF_DOTS) && line.len > 0 && line.ptr[0] == '.')
            buf_append_byte(out, '.');
        buf_append(out, line);
        buf_append(out, copy->eol);
    }
    if (copy->flags & COPY_BLANK_END)
        buf_append(out, copy->eol);
}
