/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory named by its lifetime (connection, transaction, scratch): allocations are never freed one
 * by one; arena_clear ends the lifetime of all of them. One owner, one thread.
 */
#pragma once

#include "base/str.h"

#include <stdarg.h>

struct arena_block;

struct arena {
    struct arena_block *first; /* the newest block; older ones behind it */
    size_t used_bytes;         /* in all blocks, for limits and statistics */
};

/* { 0 } is a valid empty arena. */
void arena_clear(struct arena *arena); /* frees everything; the arena is usable again */
#define autoclear_arena __attribute__((cleanup(arena_clear)))

/* Zeroed and aligned for any type. */
__attribute__((malloc, returns_nonnull)) void *arena_new(struct arena *arena, size_t size_bytes);
__attribute__((malloc, returns_nonnull)) void *arena_new_array(struct arena *arena, size_t count,
                                                               size_t size_bytes);
/* The copy has a NUL behind its end. */
struct str arena_copy(struct arena *arena, struct str text);
const char *arena_text(struct arena *arena, struct str text);
__attribute__((format(printf, 2, 3), returns_nonnull)) const char *
arena_printf(struct arena *arena, const char *format, ...);
