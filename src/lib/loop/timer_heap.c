/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/timer_heap.h"

#include "base/ensure.h"
#include "base/memory.h"

enum { CAPACITY_FIRST = 64 };

static void place(struct timer_heap *heap, struct timer *timer, size_t slot)
{
    heap->slots[slot] = timer;
    timer->heap_slot = slot;
}

static void sift_up(struct timer_heap *heap, struct timer *timer, size_t slot)
{
    while (slot > 1 && heap->slots[slot / 2]->deadline_ms > timer->deadline_ms) {
        place(heap, heap->slots[slot / 2], slot);
        slot /= 2;
    }
    place(heap, timer, slot);
}

static void sift_down(struct timer_heap *heap, struct timer *timer, size_t slot)
{
    for (;;) {
        size_t child = slot * 2;
        if (child < heap->count &&
            heap->slots[child + 1]->deadline_ms < heap->slots[child]->deadline_ms)
            child++;
        if (child > heap->count || heap->slots[child]->deadline_ms >= timer->deadline_ms)
            break;
        place(heap, heap->slots[child], slot);
        slot = child;
    }
    place(heap, timer, slot);
}

void timer_heap_add(struct timer_heap *heap, struct timer *timer)
{
    if (heap->count + 2 > heap->capacity) {
        heap->capacity = heap->capacity > 0 ? heap->capacity * 2 : CAPACITY_FIRST;
        heap->slots = memory_resize(heap->slots, heap->capacity * sizeof(struct timer *));
    }
    heap->count++;
    sift_up(heap, timer, heap->count);
}

void timer_heap_moved(struct timer_heap *heap, struct timer *timer)
{
    sift_up(heap, timer, timer->heap_slot);
    sift_down(heap, timer, timer->heap_slot);
}

void timer_heap_remove(struct timer_heap *heap, struct timer *timer)
{
    size_t slot = timer->heap_slot;
    struct timer *last = heap->slots[heap->count];

    ensure(heap->slots[slot] == timer);
    heap->count--;
    timer->heap_slot = 0;
    if (last == timer)
        return;
    place(heap, last, slot);
    timer_heap_moved(heap, last);
}

struct timer *timer_heap_first(const struct timer_heap *heap)
{
    return heap->count > 0 ? heap->slots[1] : NULL;
}

void timer_heap_free(struct timer_heap *heap)
{
    memory_free(heap->slots);
    *heap = (struct timer_heap){ 0 };
}
