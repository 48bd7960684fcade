/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/ensure.h"
#include "base/memory.h"

#include <stdalign.h>
#include <stdio.h>

enum { BLOCK_BYTES = 2000 };

struct arena_block {
    struct arena_block *next;
    size_t size_bytes;
    size_t used_bytes;
    alignas(max_align_t) char bytes[];
};

void arena_clear(struct arena *arena)
{
    while (arena->first != NULL) {
        struct arena_block *block = arena->first;
        arena->first = block->next;
        memory_free(block);
    }
    arena->used_bytes = 0;
}

static struct arena_block *block_with_room(struct arena *arena, size_t size_bytes)
{
    struct arena_block *first = arena->first;

    if (first != NULL && first->size_bytes - first->used_bytes >= size_bytes)
        return first;
    size_t block_bytes = size_bytes > BLOCK_BYTES ? size_bytes : BLOCK_BYTES;
    struct arena_block *block = memory_new(sizeof *block + block_bytes);
    block->size_bytes = block_bytes;
    block->next = first;
    arena->first = block;
    return block;
}

void *arena_new(struct arena *arena, size_t size_bytes)
{
    ensure(size_bytes < SIZE_MAX / 2);
    size_t aligned = (size_bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct arena_block *block = block_with_room(arena, aligned);
    void *memory = block->bytes + block->used_bytes;

    block->used_bytes += aligned;
    arena->used_bytes += aligned;
    return memory;
}

void *arena_new_array(struct arena *arena, size_t count, size_t size_bytes)
{
    size_t total;

    ensure(!__builtin_mul_overflow(count, size_bytes, &total));
    return arena_new(arena, total);
}

struct str arena_copy(struct arena *arena, struct str text)
{
    return (struct str){ arena_text(arena, text), text.len };
}

const char *arena_text(struct arena *arena, struct str text)
{
    char *copy = arena_new(arena, text.len + 1);

    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return copy;
}

const char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ensure(len >= 0);
    char *text = arena_new(arena, (size_t)len + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)len + 1, format, arguments);
    va_end(arguments);
    return text;
}
