/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/fiber.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/memory.h"
#include "loop/context.h"
#include "loop/fibers.h"
#include "loop/stack_pool.h"

#include <inttypes.h>

enum {
    /* How often fibers that wake each other go round before the rest of the loop runs. */
    ROUNDS_MAX = 64,
    TRIM_INTERVAL_MS = 5000,
};

struct fiber {
    struct list link; /* in fibers.runnable or fibers.yielded; alone while it runs or waits */
    struct list by_fibers;
    struct fibers *fibers;
    const char *name;
    void (*entry)(void *argument);
    void *argument;
    struct context context;
    struct stack *stack;
    const char *waiting_for; /* NULL when it does not wait */
    int64_t waiting_since_ms;
    int64_t deadline_ms;
    /* Set no later than the deadline, and left alone when a wait ends early: most waits do, and so
     * they cost no work on the heap. */
    struct timer timer;
    bool has_wake;
    bool is_cancelled;
    bool has_ended;
};

struct fibers {
    struct loop *loop;
    struct list all;
    struct list runnable;
    struct list yielded; /* become runnable in the next iteration */
    size_t count;
    struct fiber *current;
    struct context loop_context;
    struct stack_notes loop_notes;
    struct stack_pool pool;
    struct timer trim;
};

struct fibers *fibers_new(struct loop *loop)
{
    struct fibers *fibers = memory_new(sizeof *fibers);

    fibers->loop = loop;
    list_init(&fibers->all);
    list_init(&fibers->runnable);
    list_init(&fibers->yielded);
    return fibers;
}

void fibers_free(struct fibers **fibers)
{
    ensure(list_is_empty(&(*fibers)->all));
    timer_clear((*fibers)->loop, &(*fibers)->trim);
    stack_pool_clear(&(*fibers)->pool);
    memory_free(*fibers);
    *fibers = NULL;
}

bool fibers_are_runnable(const struct fibers *fibers)
{
    return !list_is_empty(&fibers->runnable) || !list_is_empty(&fibers->yielded);
}

static void trim_pool(struct timer *timer)
{
    struct fibers *fibers = list_entry(timer, struct fibers, trim);

    if (stack_pool_trim(&fibers->pool))
        timer_set(fibers->loop, timer, loop_now_ms(fibers->loop) + TRIM_INTERVAL_MS, trim_pool);
}

static void fiber_free(struct fiber *fiber)
{
    struct fibers *fibers = fiber->fibers;

    timer_clear(fibers->loop, &fiber->timer);
    stack_notes_end(&fiber->stack->notes);
    stack_give(&fibers->pool, fiber->stack);
    if (fibers->trim.heap_slot == 0)
        timer_set(fibers->loop, &fibers->trim, loop_now_ms(fibers->loop) + TRIM_INTERVAL_MS,
                  trim_pool);
    list_remove(&fiber->by_fibers);
    fibers->count--;
    memory_free(fiber);
}

/* From the loop into a fiber, until it waits or ends. */
static void fiber_resume(struct fiber *fiber)
{
    struct fibers *fibers = fiber->fibers;
    struct stack_notes *notes = &fiber->stack->notes;

    fibers->current = fiber;
    stack_notes_leave(&fibers->loop_notes, notes, false);
    context_switch(&fibers->loop_context, &fiber->context);
    stack_notes_arrive(notes, &fibers->loop_notes);
    fibers->current = NULL;
    if (fiber->has_ended)
        fiber_free(fiber);
}

/* From a fiber into the loop. */
static void fiber_suspend(struct fiber *fiber)
{
    struct fibers *fibers = fiber->fibers;
    struct stack_notes *notes = &fiber->stack->notes;

    stack_notes_leave(notes, &fibers->loop_notes, fiber->has_ended);
    context_switch(&fiber->context, &fibers->loop_context);
    stack_notes_arrive(&fibers->loop_notes, notes);
}

static void fiber_main(void *argument)
{
    struct fiber *fiber = argument;

    stack_notes_arrive(&fiber->fibers->loop_notes, &fiber->stack->notes);
    fiber->entry(fiber->argument);
    fiber->has_ended = true;
    fiber_suspend(fiber);
    unreachable();
}

static void run_list(struct list *runnable)
{
    /* Those that become runnable meanwhile come in the next round. */
    struct list *last = runnable->previous;
    struct list *link;

    do {
        link = runnable->next;
        list_remove(link);
        fiber_resume(list_entry(link, struct fiber, link));
    } while (link != last);
}

void fibers_run(struct fibers *fibers)
{
    while (!list_is_empty(&fibers->yielded)) {
        struct list *link = fibers->yielded.next;
        list_remove(link);
        list_append(&fibers->runnable, link);
    }
    for (int i = 0; i < ROUNDS_MAX && !list_is_empty(&fibers->runnable); i++)
        run_list(&fibers->runnable);
}

struct fiber *fiber_start(struct loop *loop, const char *name, void (*entry)(void *argument),
                          void *argument)
{
    struct fibers *fibers = loop_fibers(loop);
    struct fiber *fiber = memory_new(sizeof *fiber);

    fiber->fibers = fibers;
    fiber->name = name;
    fiber->entry = entry;
    fiber->argument = argument;
    fiber->stack = stack_take(&fibers->pool, FIBER_STACK_BYTES);
    if (fibers->loop_notes.checker == NULL)
        stack_notes_thread(&fibers->loop_notes);
    stack_notes_begin(&fiber->stack->notes);
    context_make(&fiber->context, stack_top(fiber->stack), fiber_main, fiber);
    list_append(&fibers->all, &fiber->by_fibers);
    list_init(&fiber->link);
    list_append(&fibers->runnable, &fiber->link);
    fibers->count++;
    return fiber;
}

struct fiber *fiber_current(const struct loop *loop)
{
    return loop_fibers(loop)->current;
}

static void make_runnable(struct fiber *fiber)
{
    if (fiber->waiting_for != NULL && list_is_empty(&fiber->link))
        list_append(&fiber->fibers->runnable, &fiber->link);
}

static void deadline_passed(struct timer *timer)
{
    struct fiber *fiber = list_entry(timer, struct fiber, timer);
    struct loop *loop = fiber->fibers->loop;

    if (fiber->waiting_for == NULL || fiber->deadline_ms == DEADLINE_NEVER)
        return;
    if (fiber->deadline_ms > loop_now_ms(loop))
        timer_set(loop, timer, fiber->deadline_ms, deadline_passed);
    else
        make_runnable(fiber);
}

static void arm_deadline(struct fiber *fiber, int64_t deadline_ms)
{
    fiber->deadline_ms = deadline_ms;
    if (deadline_ms == DEADLINE_NEVER)
        return;
    if (fiber->timer.heap_slot == 0 || fiber->timer.deadline_ms > deadline_ms)
        timer_set(fiber->fibers->loop, &fiber->timer, deadline_ms, deadline_passed);
}

enum wake fiber_wait(struct loop *loop, const char *what, int64_t deadline_ms)
{
    struct fiber *fiber = fiber_current(loop);

    ensure(fiber != NULL && what != NULL);
    if (!fiber->is_cancelled && !fiber->has_wake &&
        (deadline_ms == DEADLINE_NEVER || deadline_ms > loop_now_ms(loop))) {
        arm_deadline(fiber, deadline_ms);
        fiber->waiting_for = what;
        fiber->waiting_since_ms = loop_now_ms(loop);
        fiber_suspend(fiber);
        fiber->waiting_for = NULL;
    }
    if (fiber->is_cancelled)
        return WAKE_CANCELLED;
    if (!fiber->has_wake)
        return WAKE_TIMEOUT;
    fiber->has_wake = false;
    return WAKE_READY;
}

void fiber_wake(struct fiber *fiber)
{
    fiber->has_wake = true;
    make_runnable(fiber);
}

void fiber_cancel(struct fiber *fiber)
{
    fiber->is_cancelled = true;
    make_runnable(fiber);
}

bool fiber_is_cancelled(const struct fiber *fiber)
{
    return fiber->is_cancelled;
}

void fiber_yield(struct loop *loop)
{
    struct fiber *fiber = fiber_current(loop);

    ensure(fiber != NULL);
    list_append(&fiber->fibers->yielded, &fiber->link);
    fiber_suspend(fiber);
}

enum wake fiber_sleep(struct loop *loop, int64_t duration_ms)
{
    int64_t deadline_ms = loop_now_ms(loop) + duration_ms;
    enum wake wake;

    do {
        wake = fiber_wait(loop, "sleep", deadline_ms);
    } while (wake == WAKE_READY);
    return wake;
}

size_t fiber_count(const struct loop *loop)
{
    return loop_fibers(loop)->count;
}

static const char *state_text(const struct fibers *fibers, const struct fiber *fiber)
{
    if (fiber == fibers->current)
        return "running";
    return fiber->waiting_for != NULL && list_is_empty(&fiber->link) ? fiber->waiting_for
                                                                     : "runnable";
}

void fiber_dump(const struct loop *loop, FILE *out)
{
    const struct fibers *fibers = loop_fibers(loop);
    int64_t now_ms = loop_now_ms(loop);

    list_each (link, &fibers->all) {
        const struct fiber *fiber = list_entry(link, const struct fiber, by_fibers);
        fprintf(out, "%s: %s", fiber->name, state_text(fibers, fiber));
        if (fiber->waiting_for != NULL) {
            fprintf(out, " since %" PRId64 " ms", now_ms - fiber->waiting_since_ms);
            if (fiber->deadline_ms == DEADLINE_NEVER)
                fputs(", no deadline", out);
            else
                fprintf(out, ", deadline in %" PRId64 " ms", fiber->deadline_ms - now_ms);
        }
        fputs(fiber->is_cancelled ? ", cancelled\n" : "\n", out);
    }
}
