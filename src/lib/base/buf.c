/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/ensure.h"
#include "base/memory.h"

#include <stdio.h>

enum { CAPACITY_FIRST = 256 };

void buf_init(struct buf *buf, size_t limit)
{
    *buf = (struct buf){ .limit = limit };
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->is_overflowed = false;
    if (buf->ptr != NULL)
        buf->ptr[0] = '\0';
}

void buf_free(struct buf *buf)
{
    memory_free(buf->ptr);
    *buf = (struct buf){ .limit = buf->limit };
}

static void grow(struct buf *buf, size_t needed)
{
    size_t capacity = buf->capacity > 0 ? buf->capacity : CAPACITY_FIRST;

    while (capacity < needed)
        capacity *= 2;
    buf->ptr = memory_resize(buf->ptr, capacity);
    buf->capacity = capacity;
}

char *buf_reserve(struct buf *buf, size_t len)
{
    size_t limit = buf->limit > 0 ? buf->limit : SIZE_MAX / 4;

    if (buf->is_overflowed || len > limit || buf->len > limit - len) {
        buf->is_overflowed = true;
        return NULL;
    }
    if (buf->capacity < buf->len + len + 1)
        grow(buf, buf->len + len + 1);
    return buf->ptr + buf->len;
}

void buf_commit(struct buf *buf, size_t len)
{
    ensure(len < buf->capacity - buf->len);
    buf->len += len;
    buf->ptr[buf->len] = '\0';
}

void buf_append(struct buf *buf, struct str text)
{
    char *room = buf_reserve(buf, text.len);

    if (room == NULL)
        return;
    if (text.len > 0)
        memcpy(room, text.ptr, text.len);
    buf_commit(buf, text.len);
}

void buf_append_byte(struct buf *buf, char byte)
{
    char *room = buf_reserve(buf, 1);

    if (room == NULL)
        return;
    *room = byte;
    buf_commit(buf, 1);
}

void buf_append_text(struct buf *buf, const char *text)
{
    buf_append(buf, str_from(text));
}

void buf_vprintf(struct buf *buf, const char *format, va_list arguments)
{
    /* Most texts fit into the room that is there: formatting them twice would only count. */
    size_t room_bytes = buf->is_overflowed ? 0 : buf->capacity - buf->len;
    va_list again;

    va_copy(again, arguments);
    int len = vsnprintf(room_bytes > 0 ? buf->ptr + buf->len : NULL, room_bytes, format, arguments);
    ensure(len >= 0);
    char *room = buf_reserve(buf, (size_t)len);
    if (room != NULL) {
        if ((size_t)len >= room_bytes)
            vsnprintf(room, (size_t)len + 1, format, again);
        buf_commit(buf, (size_t)len);
    } else if (room_bytes > 0) {
        buf->ptr[buf->len] = '\0';
    }
    va_end(again);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    buf_vprintf(buf, format, arguments);
    va_end(arguments);
}

void buf_append_u64(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_append(buf, (struct str){ digits + at, sizeof digits - at });
}

void buf_consume(struct buf *buf, size_t len)
{
    ensure(len <= buf->len);
    if (len == 0)
        return;
    buf->len -= len;
    memmove(buf->ptr, buf->ptr + len, buf->len + 1);
}

void buf_truncate(struct buf *buf, size_t len)
{
    ensure(len <= buf->len);
    buf->len = len;
    if (buf->ptr != NULL)
        buf->ptr[len] = '\0';
}
