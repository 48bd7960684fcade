/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fibers: conversations written as linear code. A fiber runs until it waits; the loop runs
 * meanwhile. Stacks come from a pool (FIBER_STACK_BYTES with a guard page below; only touched
 * pages cost memory). Fibers of one loop never run in parallel, so they need no locks; but what
 * another fiber may free during a wait must be owned or pinned by the waiter.
 */
#pragma once

#include "loop/loop.h"

#include <stdio.h>

enum { FIBER_STACK_BYTES = 128 * 1024 };

struct fiber;

enum wake {
    WAKE_READY,     /* fiber_wake was called */
    WAKE_TIMEOUT,   /* the deadline passed */
    WAKE_CANCELLED, /* fiber_cancel was called; every later wait returns this at once */
};

/* Makes a fiber runnable; it starts in the fibers' part of this or the next iteration, never
 * inside this call. `name` (for dumps) must outlive the fiber. The fiber ends when `entry`
 * returns; after that the pointer is invalid. */
struct fiber *fiber_start(struct loop *loop, const char *name, void (*entry)(void *argument),
                          void *argument);

/* The fiber that runs now; NULL outside fibers. */
struct fiber *fiber_current(const struct loop *loop);

/* Suspends the current fiber until fiber_wake, the deadline (loop_now_ms + …, DEADLINE_NEVER) or
 * fiber_cancel. `what` (a literal) says in dumps what it waits for. A wake-up that came before the
 * wait began, since the fiber last ran, is not lost: the wait returns WAKE_READY at once. So a wait
 * may also end early for an event that was dealt with already: look at the condition again, in a
 * loop. A deadline that has passed already returns WAKE_TIMEOUT at once (unless woken). */
enum wake fiber_wait(struct loop *loop, const char *what, int64_t deadline_ms);
/* From the loop or another fiber of the same loop. Several wake-ups before it runs count as one. */
void fiber_wake(struct fiber *fiber);
void fiber_cancel(struct fiber *fiber);
bool fiber_is_cancelled(const struct fiber *fiber);

/* Lets the rest of the loop run once; for long computations. */
void fiber_yield(struct loop *loop);
/* WAKE_TIMEOUT after the time, or WAKE_CANCELLED. */
enum wake fiber_sleep(struct loop *loop, int64_t duration_ms);

size_t fiber_count(const struct loop *loop);
/* One line for each fiber: name, what it waits for, for how long, time to its deadline. */
void fiber_dump(const struct loop *loop, FILE *out);
