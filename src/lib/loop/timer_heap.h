/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers ordered by their deadline: a binary heap in which each timer knows its slot. Belongs to
 * the loop; nobody else includes this.
 */
#pragma once

#include "loop/loop.h"

struct timer_heap {
    struct timer **slots; /* from 1 on, so that slot 0 means "not set" */
    size_t count;
    size_t capacity;
};

void timer_heap_add(struct timer_heap *heap, struct timer *timer);
void timer_heap_remove(struct timer_heap *heap, struct timer *timer);
/* Restores the order after the deadline of a member changed. */
void timer_heap_moved(struct timer_heap *heap, struct timer *timer);
/* The one that expires first, or NULL. */
struct timer *timer_heap_first(const struct timer_heap *heap);
void timer_heap_free(struct timer_heap *heap);
