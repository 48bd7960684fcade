/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop under every role: one epoll set (edge-triggered, each descriptor registered once
 * for its life), a timer heap, signals and wake-ups from other threads. It belongs to one thread;
 * only loop_wake may be called from another. Conversations run as fibers (fiber.h) on top of it.
 */
#pragma once

#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"

#include <stdatomic.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(struct error *error); /* NULL with `error` on failure */
/* All fibers must have ended and all watches and timers must be gone. */
void loop_free(struct loop **loop);

/* Runs until loop_stop; the iteration is: wait, timers, ready descriptors, fibers made runnable,
 * then the before-sleep hooks. While events follow each other closely it looks for the next one for
 * some microseconds before it sleeps. After loop_stop the iteration still goes to its end, and
 * loop_run may be called again. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* The monotonic clock as read at the start of this iteration: cheap, for deadlines. */
int64_t loop_now_ms(const struct loop *loop);

/* A descriptor. `ready` is called in the loop (not in a fiber) with EPOLLIN/EPOLLOUT/EPOLLHUP…
 * bits whenever an edge arrives. The owner embeds it. */
struct watch {
    int fd; /* -1 when not registered; a watch that may be closed before it is opened starts so */
    void (*ready)(struct watch *watch, uint32_t events);
};
must_check bool watch_open(struct loop *loop, struct watch *watch, int fd, uint32_t events,
                           void (*ready)(struct watch *, uint32_t), struct error *error);
/* Other events for the same descriptor; what is ready already is reported as a new edge. */
must_check bool watch_change(struct loop *loop, struct watch *watch, uint32_t events,
                             struct error *error);
/* Unregisters (nothing happens where it is not registered); does not close the descriptor: call it
 * before close(2). No call of `ready` follows, also not for events that were already collected in
 * this iteration. */
void watch_close(struct loop *loop, struct watch *watch);

/* A one-shot timer. The owner embeds it; { 0 } is valid and not set. */
struct timer {
    int64_t deadline_ms;
    void (*expired)(struct timer *timer);
    size_t heap_slot; /* 0: not set */
};
/* Sets or moves it. DEADLINE_NEVER clears it. */
void timer_set(struct loop *loop, struct timer *timer, int64_t deadline_ms,
               void (*expired)(struct timer *));
void timer_clear(struct loop *loop, struct timer *timer); /* safe when not set */

/* Called in every iteration before the loop sleeps: channels flush their batch here, logs too.
 * Order of calls: order of adding. The owner embeds it. A hook may wake fibers and remove itself or
 * any other hook. */
struct before_sleep {
    struct list link;
    void (*run)(struct before_sleep *hook);
};
void loop_before_sleep(struct loop *loop, struct before_sleep *hook,
                       void (*run)(struct before_sleep *));
void before_sleep_remove(struct before_sleep *hook);
/* For work that a hook makes for one that ran before it (a frame for a channel that has flushed
 * already): the loop goes round once more before it sleeps. Does nothing outside of hooks. */
void loop_again(struct loop *loop);

/* Wakes the loop from another thread: `woken` runs in the loop once for any number of wake-ups
 * since its last run. The owner embeds it. */
struct wakeup {
    struct watch watch;
    void (*woken)(struct wakeup *wakeup);
    atomic_bool is_pending;
};
must_check bool wakeup_open(struct loop *loop, struct wakeup *wakeup,
                            void (*woken)(struct wakeup *), struct error *error);
void wakeup_close(struct loop *loop, struct wakeup *wakeup);
void loop_wake(struct wakeup *wakeup); /* any thread, async-signal-safe */

/* Signals arrive in the loop, through signalfd: loop_signals blocks each number in the list (ended
 * by 0) for the thread and calls `arrived` for each that comes. Call once, before threads start.
 * The mask is inherited through fork and exec: unblock in the child. */
must_check bool loop_signals(struct loop *loop, const int *numbers,
                             void (*arrived)(void *argument, int number), void *argument,
                             struct error *error);
