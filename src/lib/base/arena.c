/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/ensure.h"
#include "base/memory.h"

#include <stdalign.h>
#include <stdio.h>

/* The first block is one of the pieces that the C library keeps at hand when they are freed; a
 * command or a small message needs no other. */
enum { BLOCK_BYTES_FIRST = 1000, BLOCK_BYTES = 4000 };

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
    size_t block_bytes = first == NULL ? BLOCK_BYTES_FIRST : BLOCK_BYTES;
    if (block_bytes < size_bytes)
        block_bytes = size_bytes;
    /* Each piece is zeroed as it is taken. */
    struct arena_block *block = memory_resize(NULL, sizeof *block + block_bytes);
    *block = (struct arena_block){ .next = first, .size_bytes = block_bytes };
    arena->first = block;
    return block;
}

/* Not zeroed. */
static void *take(struct arena *arena, size_t size_bytes)
{
    ensure(size_bytes < SIZE_MAX / 2);
    size_t aligned = (size_bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct arena_block *block = block_with_room(arena, aligned);
    void *memory = block->bytes + block->used_bytes;

    block->used_bytes += aligned;
    arena->used_bytes += aligned;
    return memory;
}

void *arena_new(struct arena *arena, size_t size_bytes)
{
    return memset(take(arena, size_bytes), 0, size_bytes);
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
    char *copy = take(arena, text.len + 1);

    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return copy;
}

const char *arena_printf(struct arena *arena, const char *format, ...)
{
    /* Into the room that is there, where most texts fit, and again only where one does not. */
    struct arena_block *block = block_with_room(arena, 1);
    char *room = block->bytes + block->used_bytes;
    size_t room_bytes = block->size_bytes - block->used_bytes;
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(room, room_bytes, format, arguments);
    va_end(arguments);
    ensure(len >= 0);
    char *text = take(arena, (size_t)len + 1);
    if (text != room) {
        va_start(arguments, format);
        vsnprintf(text, (size_t)len + 1, format, arguments);
        va_end(arguments);
    }
    return text;
}
