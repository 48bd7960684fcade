/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"
#include "loop/fibers.h"
#include "loop/timer_heap.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    /* About what it costs to sleep and be woken: looking for so long is never much dearer. */
    LOOK_US = 25,
    LOOKS_TRUSTED_MAX = 8, /* how far success or failure is remembered */
    SLEEPS_UNTIL_TRIAL = 32,
};

struct loop {
    int epoll_fd;
    int64_t now_ms;
    bool is_stopping;
    bool is_in_hooks;
    bool must_go_on; /* loop_again */
    struct timer_heap timers;
    struct list hooks;
    size_t watch_count;
    int looks_trusted; /* above zero while looking before sleeping pays */
    unsigned sleeps_untried;
    int event_at, event_count; /* events[event_at..event_count) are not handled yet */
    struct epoll_event events[EVENTS_MAX];
    struct watch signals;
    void (*signal_arrived)(void *argument, int number);
    void *signal_argument;
    struct fibers *fibers;
};

struct loop *loop_new(struct error *error)
{
    autoclose int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    if (epoll_fd < 0) {
        error_errno(error, "create an epoll set");
        return NULL;
    }
    struct loop *loop = memory_new(sizeof *loop);
    loop->epoll_fd = fd_take(&epoll_fd);
    loop->now_ms = clock_monotonic_ms();
    loop->signals.fd = -1;
    list_init(&loop->hooks);
    loop->fibers = fibers_new(loop);
    return loop;
}

void loop_free(struct loop **loop)
{
    if (*loop == NULL)
        return;
    fibers_free(&(*loop)->fibers);
    if ((*loop)->signals.fd >= 0) {
        int fd = (*loop)->signals.fd;
        watch_close(*loop, &(*loop)->signals);
        close(fd);
    }
    ensure((*loop)->watch_count == 0 && (*loop)->timers.count == 0);
    ensure(list_is_empty(&(*loop)->hooks));
    timer_heap_free(&(*loop)->timers);
    close((*loop)->epoll_fd);
    memory_free(*loop);
    *loop = NULL;
}

int64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

void loop_stop(struct loop *loop)
{
    loop->is_stopping = true;
}

struct fibers *loop_fibers(const struct loop *loop)
{
    return loop->fibers;
}

/* ---- descriptors ---- */

bool watch_open(struct loop *loop, struct watch *watch, int fd, uint32_t events,
                void (*ready)(struct watch *, uint32_t), struct error *error)
{
    struct epoll_event event = { .events = events | EPOLLET, .data.ptr = watch };

    watch->fd = -1;
    watch->ready = ready;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return error_errno(error, "watch a descriptor");
    watch->fd = fd;
    loop->watch_count++;
    return true;
}

bool watch_change(struct loop *loop, struct watch *watch, uint32_t events, struct error *error)
{
    struct epoll_event event = { .events = events | EPOLLET, .data.ptr = watch };

    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0)
        return error_errno(error, "watch a descriptor");
    return true;
}

void watch_close(struct loop *loop, struct watch *watch)
{
    if (watch->fd < 0)
        return;
    ensure(epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL) == 0);
    watch->fd = -1;
    loop->watch_count--;
    for (int i = loop->event_at; i < loop->event_count; i++)
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
}

/* ---- timers ---- */

void timer_set(struct loop *loop, struct timer *timer, int64_t deadline_ms,
               void (*expired)(struct timer *))
{
    if (deadline_ms == DEADLINE_NEVER) {
        timer_clear(loop, timer);
        return;
    }
    timer->deadline_ms = deadline_ms;
    timer->expired = expired;
    if (timer->heap_slot == 0)
        timer_heap_add(&loop->timers, timer);
    else
        timer_heap_moved(&loop->timers, timer);
}

void timer_clear(struct loop *loop, struct timer *timer)
{
    if (timer->heap_slot != 0)
        timer_heap_remove(&loop->timers, timer);
}

/* ---- before the loop sleeps ---- */

void loop_before_sleep(struct loop *loop, struct before_sleep *hook,
                       void (*run)(struct before_sleep *))
{
    hook->run = run;
    list_append(&loop->hooks, &hook->link);
}

void before_sleep_remove(struct before_sleep *hook)
{
    list_remove(&hook->link);
}

void loop_again(struct loop *loop)
{
    loop->must_go_on = loop->must_go_on || loop->is_in_hooks;
}

/* ---- wake-ups from other threads ---- */

static void wakeup_ready(struct watch *watch, uint32_t events)
{
    struct wakeup *wakeup = list_entry(watch, struct wakeup, watch);

    /* Before `woken` looks at what the other thread left, so that nothing slips in between. The
     * counter is never read: each write is an edge of its own. */
    atomic_store(&wakeup->is_pending, false);
    wakeup->woken(wakeup);
}

bool wakeup_open(struct loop *loop, struct wakeup *wakeup, void (*woken)(struct wakeup *),
                 struct error *error)
{
    autoclose int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    wakeup->woken = woken;
    wakeup->watch.fd = -1;
    atomic_init(&wakeup->is_pending, false);
    if (fd < 0)
        return error_errno(error, "create an eventfd");
    if (!watch_open(loop, &wakeup->watch, fd, EPOLLIN, wakeup_ready, error))
        return false;
    fd_take(&fd);
    return true;
}

void wakeup_close(struct loop *loop, struct wakeup *wakeup)
{
    int fd = wakeup->watch.fd;

    watch_close(loop, &wakeup->watch);
    fd_close(&fd);
}

void loop_wake(struct wakeup *wakeup)
{
    if (!atomic_exchange(&wakeup->is_pending, true))
        ensure(eventfd_write(wakeup->watch.fd, 1) == 0);
}

/* ---- signals ---- */

static void signals_ready(struct watch *watch, uint32_t events)
{
    struct loop *loop = list_entry(watch, struct loop, signals);
    struct signalfd_siginfo information;

    while (read(watch->fd, &information, sizeof information) == (ssize_t)sizeof information)
        loop->signal_arrived(loop->signal_argument, (int)information.ssi_signo);
}

bool loop_signals(struct loop *loop, const int *numbers,
                  void (*arrived)(void *argument, int number), void *argument, struct error *error)
{
    sigset_t set;

    ensure(loop->signals.fd < 0);
    sigemptyset(&set);
    for (; *numbers != 0; numbers++)
        sigaddset(&set, *numbers);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    loop->signal_arrived = arrived;
    loop->signal_argument = argument;
    autoclose int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return error_errno(error, "create a signalfd");
    if (!watch_open(loop, &loop->signals, fd, EPOLLIN, signals_ready, error))
        return false;
    fd_take(&fd);
    return true;
}

/* ---- one iteration ---- */

static int sleep_ms(const struct loop *loop)
{
    const struct timer *first = timer_heap_first(&loop->timers);

    if (loop->must_go_on || fibers_are_runnable(loop->fibers))
        return 0;
    if (first == NULL)
        return -1;
    /* Not the cached time: what this iteration took must not come on top. */
    int64_t left_ms = first->deadline_ms - clock_monotonic_ms();
    if (left_ms < 0)
        return 0;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

/* Whether to look for events for a moment before sleeping. Under load the next one is so near that
 * going to sleep and being woken costs more than the wait; an idle process sleeps at once. */
static bool may_look(struct loop *loop)
{
    if (loop->looks_trusted > 0)
        return true;
    if (++loop->sleeps_untried < SLEEPS_UNTIL_TRIAL)
        return false;
    loop->sleeps_untried = 0;
    return true;
}

static int look_for_events(struct loop *loop)
{
    int64_t end_us = clock_monotonic_us() + LOOK_US;
    int count;

    do
        count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, 0);
    while (count == 0 && clock_monotonic_us() < end_us);
    if (count > 0 && loop->looks_trusted < LOOKS_TRUSTED_MAX)
        loop->looks_trusted++;
    else if (count == 0 && loop->looks_trusted > -LOOKS_TRUSTED_MAX)
        loop->looks_trusted--;
    return count;
}

static void wait_for_events(struct loop *loop)
{
    int timeout_ms = sleep_ms(loop);
    int count = 0;

    if (timeout_ms != 0 && may_look(loop))
        count = look_for_events(loop);
    if (count == 0)
        count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, timeout_ms);
    loop->must_go_on = false;
    ensure(count >= 0 || errno == EINTR);
    loop->event_at = 0;
    loop->event_count = count > 0 ? count : 0;
    loop->now_ms = clock_monotonic_ms();
}

static void run_timers(struct loop *loop)
{
    /* A bound, so that a timer that sets itself to "now" does not keep the loop here. */
    size_t most = loop->timers.count;

    for (size_t i = 0; i < most; i++) {
        struct timer *timer = timer_heap_first(&loop->timers);
        if (timer == NULL || timer->deadline_ms > loop->now_ms)
            return;
        timer_heap_remove(&loop->timers, timer);
        timer->expired(timer);
    }
}

static void run_watches(struct loop *loop)
{
    while (loop->event_at < loop->event_count) {
        const struct epoll_event *event = &loop->events[loop->event_at++];
        struct watch *watch = event->data.ptr;
        if (watch != NULL)
            watch->ready(watch, event->events);
    }
}

static void run_hooks(struct loop *loop)
{
    /* Marks the place in the list, so that a hook may remove itself and any other. */
    struct list place;

    loop->is_in_hooks = true;
    list_init(&place);
    list_prepend(&loop->hooks, &place);
    while (place.next != &loop->hooks) {
        struct list *link = place.next;
        list_remove(&place);
        list_insert_before(link->next, &place);
        struct before_sleep *hook = list_entry(link, struct before_sleep, link);
        hook->run(hook);
    }
    list_remove(&place);
    loop->is_in_hooks = false;
}

void loop_run(struct loop *loop)
{
    ensure(fiber_current(loop) == NULL);
    loop->is_stopping = false;
    /* What was prepared before gets its hooks before the first sleep. */
    loop->must_go_on = true;
    while (!loop->is_stopping) {
        wait_for_events(loop);
        run_timers(loop);
        run_watches(loop);
        fibers_run(loop->fibers);
        run_hooks(loop);
    }
}
