/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stacks for fibers, each with a guard page below it. Ended fibers' stacks are kept with the pages
 * they touched, so that the next conversation neither maps nor faults; what was not needed for a
 * while goes back to the system (stack_pool_trim). Belongs to the fibers; nobody else includes
 * this.
 */
#pragma once

#include "loop/stack_notes.h"

enum { STACK_CACHED_MAX = 1024 };

struct stack {
    struct stack *next_cached;
    char *mapping; /* the guard page, then the stack */
    size_t mapping_bytes;
    struct stack_notes notes;
};

struct stack_pool {
    struct stack *cached; /* the last one used comes first: its pages are warm */
    size_t cached_count;
    size_t least_cached_count; /* since the last trim: so many were never needed */
};

/* Ends the process when the system has no memory for it. */
struct stack *stack_take(struct stack_pool *pool, size_t size_bytes);
void stack_give(struct stack_pool *pool, struct stack *stack);
void *stack_top(const struct stack *stack);

/* Unmaps the stacks that lay unused since the last call. True when some are left. */
bool stack_pool_trim(struct stack_pool *pool);
void stack_pool_clear(struct stack_pool *pool);
