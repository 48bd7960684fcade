/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An owned, growing run of bytes. It keeps a NUL after its end, so `ptr` serves libc too, and has
 * a limit: what would pass it is not appended and marks the buffer overflowed, which stays until
 * buf_clear. So a caller may append many times and check once.
 */
#pragma once

#include "base/str.h"

#include <stdarg.h>

struct buf {
    char *ptr; /* never NULL after the first append; see buf_text */
    size_t len;
    size_t capacity;
    size_t limit; /* the most bytes it may hold; 0 = SIZE_MAX */
    bool is_overflowed;
};

/* { 0 } is a valid empty buffer without a limit. */
void buf_init(struct buf *buf, size_t limit);
/* Empties it; keeps the memory. */
void buf_clear(struct buf *buf);
/* Frees the memory; the buffer is empty and usable again. */
void buf_free(struct buf *buf);
/* For `autofree_buf struct buf scratch = { 0 };` */
#define autofree_buf __attribute__((cleanup(buf_free)))

static inline struct str buf_str(const struct buf *buf)
{
    return (struct str){ buf->ptr != NULL ? buf->ptr : "", buf->len };
}
static inline const char *buf_text(const struct buf *buf)
{
    return buf->ptr != NULL ? buf->ptr : "";
}

/* Room for `len` more bytes; NULL (and overflowed) when that passes the limit. The caller writes
 * there and then adds to `len` with buf_commit. */
char *buf_reserve(struct buf *buf, size_t len);
void buf_commit(struct buf *buf, size_t len);

void buf_append(struct buf *buf, struct str text);
void buf_append_byte(struct buf *buf, char byte);
void buf_append_text(struct buf *buf, const char *text);
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *buf, const char *format, ...);
__attribute__((format(printf, 2, 0))) void buf_vprintf(struct buf *buf, const char *format,
                                                       va_list arguments);
/* Decimal, without printf's price: for the hot paths. */
void buf_append_u64(struct buf *buf, uint64_t value);

/* Drops the first `len` bytes. */
void buf_consume(struct buf *buf, size_t len);
/* Drops what is beyond `len`. */
void buf_truncate(struct buf *buf, size_t len);
