/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include "base/clock.h"
#include "queue.h"

/* The mark runs ahead so far that it is committed every minute at most; after a crash so many ids
 * are never used. */
enum { AHEAD_MS = 120 * 1000 };

void lease_init(struct queue *queue)
{
    queue->lease.start = store_id_mark(queue->store);
    queue->lease.next = queue->lease.durable = queue->lease.start;
}

bool lease_may_be_older(const struct lease *lease, uint64_t queue_id)
{
    return queue_id < lease->start;
}

static void mark_done(struct commit_request *request)
{
    struct queue *queue = list_entry(request, struct queue, lease.request);
    struct lease *lease = &queue->lease;

    lease->is_committing = false;
    if (request->outcome != STORE_OK)
        return; /* whoever needs an id asks again */
    lease->durable = request->queue_id;
    intake_lease_ready(queue);
}

static void extend(struct queue *queue)
{
    struct lease *lease = &queue->lease;

    if (lease->is_committing)
        return;
    lease->is_committing = true;
    lease->request = (struct commit_request){
        .kind = COMMIT_ID_MARK,
        .queue_id = lease->next + ((uint64_t)AHEAD_MS << QUEUE_ID_COUNT_BITS),
        .may_use_reserve = true,
        .done = mark_done,
    };
    committer_submit(queue->committer, &lease->request);
}

static void follow_clock(struct lease *lease)
{
    uint64_t now = queue_id_from_wall_ms(clock_wall_ms());

    if (now > lease->next)
        lease->next = now;
}

void lease_prepare(struct queue *queue)
{
    follow_clock(&queue->lease);
    extend(queue);
}

bool lease_take(struct queue *queue, uint32_t count, uint64_t *first)
{
    struct lease *lease = &queue->lease;

    follow_clock(lease);
    bool is_there = lease->next + count <= lease->durable;
    if (is_there) {
        *first = lease->next;
        lease->next += count;
    }
    if (lease->durable < lease->next + ((uint64_t)AHEAD_MS / 2 << QUEUE_ID_COUNT_BITS))
        extend(queue);
    return is_there;
}
