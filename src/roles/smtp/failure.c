/* SPDX-License-Identifier: Apache-2.0 */
#include "failure.h"

#include "base/buf.h"

enum { FAILURE_TEXT_BYTES_MAX = 4096 };

struct failure *failure_new(struct arena *arena, const char *dsn, const char *format, ...)
{
    struct failure *failure = arena_new(arena, sizeof *failure);
    autofree_buf struct buf text = { 0 };
    va_list arguments;

    va_start(arguments, format);
    buf_vprintf(&text, format, arguments);
    va_end(arguments);
    failure->dsn = arena_copy(arena, str_from(dsn));
    failure->text = arena_copy(arena, str_take(buf_str(&text), FAILURE_TEXT_BYTES_MAX));
    failure->relay = STR("none");
    failure->remote_mta = STR("");
    failure->smtp_reply = STR("");
    return failure;
}
