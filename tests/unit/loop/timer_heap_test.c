/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/timer_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TIMERS = 300, STEPS = 20000 };

static void check_heap(const struct timer_heap *heap)
{
    for (size_t slot = 1; slot <= heap->count; slot++) {
        assert_int_equal(heap->slots[slot]->heap_slot, slot);
        if (slot > 1)
            assert_true(heap->slots[slot / 2]->deadline_ms <= heap->slots[slot]->deadline_ms);
    }
}

static void random_step(struct timer_heap *heap, struct timer *timer, unsigned *seed)
{
    bool is_set = timer->heap_slot != 0;
    int64_t deadline_ms = rand_r(seed) % 1000;

    if (is_set && rand_r(seed) % 2 == 0) {
        timer_heap_remove(heap, timer);
        return;
    }
    timer->deadline_ms = deadline_ms;
    if (is_set)
        timer_heap_moved(heap, timer);
    else
        timer_heap_add(heap, timer);
}

static void order_holds_under_random_operations(void **state)
{
    struct timer_heap heap = { 0 };
    struct timer timers[TIMERS] = { 0 };
    unsigned seed = 7;

    for (int step = 0; step < STEPS; step++) {
        random_step(&heap, &timers[rand_r(&seed) % TIMERS], &seed);
        if (step % 50 == 0)
            check_heap(&heap);
    }
    check_heap(&heap);
    timer_heap_free(&heap);
}

static void timers_come_out_in_the_order_of_their_deadlines(void **state)
{
    struct timer_heap heap = { 0 };
    struct timer timers[TIMERS] = { 0 };
    unsigned seed = 11;
    int64_t last_ms = -1;

    for (int i = 0; i < TIMERS; i++) {
        timers[i].deadline_ms = rand_r(&seed) % 100;
        timer_heap_add(&heap, &timers[i]);
    }
    for (int i = 0; i < TIMERS; i++) {
        struct timer *first = timer_heap_first(&heap);
        assert_true(first->deadline_ms >= last_ms);
        last_ms = first->deadline_ms;
        timer_heap_remove(&heap, first);
        assert_int_equal(first->heap_slot, 0);
    }
    assert_null(timer_heap_first(&heap));
    timer_heap_free(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_holds_under_random_operations),
        cmocka_unit_test(timers_come_out_in_the_order_of_their_deadlines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
