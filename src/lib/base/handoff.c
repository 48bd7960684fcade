/* SPDX-License-Identifier: Apache-2.0 */
#include "base/handoff.h"

#include "base/clock.h"
#include "base/ensure.h"

#include <time.h>

void handoff_init(struct handoff *handoff)
{
    pthread_condattr_t attributes;

    ensure(pthread_mutex_init(&handoff->lock, NULL) == 0);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    ensure(pthread_cond_init(&handoff->changed, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    list_init(&handoff->objects);
    handoff->is_closed = false;
}

void handoff_clear(struct handoff *handoff)
{
    pthread_cond_destroy(&handoff->changed);
    pthread_mutex_destroy(&handoff->lock);
}

static void move_all(struct list *from, struct list *to)
{
    if (list_is_empty(from))
        return;
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    list_init(from);
}

void handoff_give(struct handoff *handoff, struct list *objects)
{
    pthread_mutex_lock(&handoff->lock);
    ensure(!handoff->is_closed);
    bool was_empty = list_is_empty(&handoff->objects);
    move_all(objects, &handoff->objects);
    pthread_mutex_unlock(&handoff->lock);
    if (was_empty)
        pthread_cond_signal(&handoff->changed);
}

void handoff_close(struct handoff *handoff)
{
    pthread_mutex_lock(&handoff->lock);
    handoff->is_closed = true;
    pthread_mutex_unlock(&handoff->lock);
    pthread_cond_signal(&handoff->changed);
}

void handoff_take(struct handoff *handoff, struct list *objects)
{
    pthread_mutex_lock(&handoff->lock);
    move_all(&handoff->objects, objects);
    pthread_mutex_unlock(&handoff->lock);
}

static bool wait_once(struct handoff *handoff, int64_t deadline_ms)
{
    struct timespec deadline = { .tv_sec = deadline_ms / 1000,
                                 .tv_nsec = deadline_ms % 1000 * 1000000 };

    if (deadline_ms == DEADLINE_NEVER)
        return pthread_cond_wait(&handoff->changed, &handoff->lock) == 0;
    return pthread_cond_timedwait(&handoff->changed, &handoff->lock, &deadline) == 0;
}

bool handoff_wait(struct handoff *handoff, struct list *objects, int64_t deadline_ms)
{
    bool is_in_time = true;

    pthread_mutex_lock(&handoff->lock);
    while (list_is_empty(&handoff->objects) && !handoff->is_closed && is_in_time)
        is_in_time = wait_once(handoff, deadline_ms);
    bool may_go_on = !handoff->is_closed || !list_is_empty(&handoff->objects);
    move_all(&handoff->objects, objects);
    pthread_mutex_unlock(&handoff->lock);
    return may_go_on;
}
