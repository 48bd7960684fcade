/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way in which threads exchange things: whole objects go from one thread to another through
 * a queue. Whoever gives an object no longer touches it; whoever takes it owns it. This is the only
 * lock above the store; it is never held while anything else is called.
 */
#pragma once

#include "base/list.h"

#include <pthread.h>
#include <stdint.h>

struct handoff {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list objects;
    bool is_closed;
};

void handoff_init(struct handoff *handoff);
void handoff_clear(struct handoff *handoff); /* nobody may be waiting; objects are left alone */

/* Moves every member of the list to the end of the queue, and wakes the taker. */
void handoff_give(struct handoff *handoff, struct list *objects);
/* Nothing will be given any more. */
void handoff_close(struct handoff *handoff);

/* Moves everything that is there to the end of the list, without waiting. */
void handoff_take(struct handoff *handoff, struct list *objects);
/* The same, but waits until there is something, or the monotonic deadline (DEADLINE_NEVER: none)
 * has passed; false when the queue is closed and empty. */
bool handoff_wait(struct handoff *handoff, struct list *objects, int64_t deadline_ms);
