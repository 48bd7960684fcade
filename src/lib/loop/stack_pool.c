/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/stack_pool.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct stack *stack_map(size_t size_bytes)
{
    size_t guard_bytes = (size_t)sysconf(_SC_PAGESIZE);
    size_t mapping_bytes = guard_bytes + size_bytes * stack_notes_factor();
    char *mapping = mmap(NULL, mapping_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

    if (mapping == MAP_FAILED || mprotect(mapping, guard_bytes, PROT_NONE) < 0) {
        perror("fatal: no memory for a fiber's stack (see sysctl vm.max_map_count)");
        abort();
    }
    struct stack *stack = memory_new(sizeof *stack);
    stack->mapping = mapping;
    stack->mapping_bytes = mapping_bytes;
    stack->notes.bottom = mapping + guard_bytes;
    stack->notes.size_bytes = mapping_bytes - guard_bytes;
    stack_notes_map(&stack->notes);
    return stack;
}

static void stack_unmap(struct stack *stack)
{
    stack_notes_unmap(&stack->notes);
    munmap(stack->mapping, stack->mapping_bytes);
    memory_free(stack);
}

static struct stack *cached_pop(struct stack_pool *pool)
{
    struct stack *stack = pool->cached;

    pool->cached = stack->next_cached;
    pool->cached_count--;
    if (pool->cached_count < pool->least_cached_count)
        pool->least_cached_count = pool->cached_count;
    return stack;
}

struct stack *stack_take(struct stack_pool *pool, size_t size_bytes)
{
    return pool->cached != NULL ? cached_pop(pool) : stack_map(size_bytes);
}

void stack_give(struct stack_pool *pool, struct stack *stack)
{
    if (pool->cached_count >= STACK_CACHED_MAX) {
        stack_unmap(stack);
        return;
    }
    stack->next_cached = pool->cached;
    pool->cached = stack;
    pool->cached_count++;
}

void *stack_top(const struct stack *stack)
{
    return stack->mapping + stack->mapping_bytes;
}

bool stack_pool_trim(struct stack_pool *pool)
{
    size_t unneeded = pool->least_cached_count;

    for (size_t i = 0; i < unneeded; i++)
        stack_unmap(cached_pop(pool));
    pool->least_cached_count = pool->cached_count;
    return pool->cached_count > 0;
}

void stack_pool_clear(struct stack_pool *pool)
{
    while (pool->cached != NULL)
        stack_unmap(cached_pop(pool));
}
