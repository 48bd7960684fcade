/* SPDX-License-Identifier: Apache-2.0 */
#include "queue.h"

#include "base/clock.h"
#include "base/memory.h"

enum {
    SPACE_CHECK_MS = 5000,
    DRAIN_CHECK_MS = 20,
};

static void committer_notice(void *argument, enum severity severity, const char *text)
{
    struct queue *queue = argument;

    log_write(&queue->settings->speakers[SPEAKER_QMGR], severity, "%s", text);
}

static void committer_broken(void *argument, const char *text)
{
    struct queue *queue = argument;

    log_fatal(&queue->settings->speakers[SPEAKER_QMGR], "%s", text);
    intake_set_gate(queue, false);
    queue->options.broken(queue->options.argument, text);
}

static void space_check_expired(struct timer *timer)
{
    struct queue *queue = list_entry(timer, struct queue, space_check);
    struct store_space space;

    store_space(queue->store, queue->settings->minfree_bytes, &space);
    intake_set_gate(queue, !space.is_low);
    timer_set(queue->loop, timer, loop_now_ms(queue->loop) + SPACE_CHECK_MS, timer->expired);
}

void queue_check_clock(struct queue *queue)
{
    const struct log_context *qmgr = &queue->settings->speakers[SPEAKER_QMGR];

    switch (wall_clock_check(&queue->clock, clock_wall_ms(), clock_monotonic_ms())) {
    case CLOCK_STEADY:
        return;
    case CLOCK_STEPPED_FORWARD:
        log_warning(qmgr, "the clock has stepped forward: no mail expires by that");
        return;
    case CLOCK_STEPPED_BACK:
        log_warning(qmgr, "the clock has stepped back: mail that it put off too far is due now");
        backlog_clock_stepped_back(queue);
        return;
    }
}

void queue_accept(struct message *message)
{
    struct queue *queue = message->queue;

    /* A scan of the schedule may see the commit in the store before its end is told here. */
    if (active_find(queue, message->queue_id) != NULL || parking_has(queue, message->queue_id)) {
        content_drop(message);
        message_free(&message);
        return;
    }
    if (active_has_room(queue)) {
        active_take(queue, message);
        scheduler_run(queue);
        return;
    }
    uint64_t queue_id = message->queue_id;
    int64_t due_ms = message->due_ms;
    content_drop(message);
    message_free(&message);
    backlog_add(queue, queue_id, due_ms);
}

static void drain_check_expired(struct timer *timer)
{
    struct queue *queue = list_entry(timer, struct queue, drain_check);

    if (queue->scheduler.in_flight == 0 && active_count(queue) == 0 && queue->tools.running == 0 &&
        queue->requeue.fiber == NULL && queue->census.fiber == NULL &&
        committer_waiting_count(queue->committer) == 0)
        queue->options.drained(queue->options.argument);
    else
        timer_set(queue->loop, timer, loop_now_ms(queue->loop) + DRAIN_CHECK_MS, timer->expired);
}

struct queue *queue_new(const struct queue_options *options, struct error *error)
{
    struct queue *queue = memory_new(sizeof *queue);
    struct committer_events events = { .argument = queue,
                                       .notice = committer_notice,
                                       .broken = committer_broken };

    queue->options = *options;
    queue->loop = options->loop;
    queue->store = options->store;
    queue->settings = options->settings;
    queue->space_check.expired = space_check_expired;
    queue->drain_check.expired = drain_check_expired;
    wall_clock_init(&queue->clock, clock_wall_ms(), clock_monotonic_ms());
    lease_init(queue);
    queue->committer = committer_new(queue->loop, queue->store, &events, error);
    if (queue->committer == NULL) {
        memory_free(queue);
        return NULL;
    }
    intake_init(queue);
    active_init(queue);
    scheduler_init(queue);
    workers_init(queue);
    completion_init(queue);
    backlog_init(queue);
    requeue_init(queue);
    statistics_init(queue);
    tools_init(queue);
    lease_prepare(queue);
    return queue;
}

void queue_start(struct queue *queue)
{
    space_check_expired(&queue->space_check);
    backlog_start(queue);
}

bool queue_may_reload(const struct queue *queue)
{
    return !queue->requeue.is_passing;
}

void queue_reload(struct queue *queue, struct settings *settings)
{
    struct settings *old = queue->settings;

    queue->settings = settings;
    scheduler_reconfigure(queue);
    settings_free(&old);
    backlog_room(queue);
}

void queue_flush(struct queue *queue)
{
    scheduler_forget_dead(queue);
    backlog_flush(queue, STR(""));
}

void queue_flush_site(struct queue *queue, struct str site)
{
    scheduler_forget_dead(queue);
    backlog_flush(queue, site);
}

void queue_drain(struct queue *queue)
{
    tools_drain(queue);
    census_drain(queue);
    scheduler_drain(queue);
    drain_check_expired(&queue->drain_check);
}

void queue_free(struct queue **queue)
{
    struct queue *gone = *queue;

    if (gone == NULL)
        return;
    timer_clear(gone->loop, &gone->space_check);
    timer_clear(gone->loop, &gone->drain_check);
    scheduler_drain(gone);
    workers_clear(gone);
    intake_clear(gone);
    committer_free(&gone->committer); /* calls what waits for a commit */
    tools_clear(gone);
    probes_clear(gone);
    completion_clear(gone);
    backlog_clear(gone);
    requeue_clear(gone);
    statistics_clear(gone);
    census_clear(gone);
    active_clear(gone);
    scheduler_clear(gone);
    settings_free(&gone->settings);
    buf_free(&gone->scratch);
    memory_free(gone);
    *queue = NULL;
}

void queue_status(struct queue *queue, struct buf *out)
{
    struct committer_statistics commits;
    const struct completion *completion = &queue->completion;

    committer_statistics(queue->committer, &commits);
    buf_printf(out, "messages in the queue: %llu, active: %zu of %zu\n",
               (unsigned long long)store_message_count(queue->store), active_count(queue),
               queue->settings->active_limit);
    buf_printf(out,
               "deliveries in flight: %zu, waiting: %zu, destinations: %zu, workers: %zu; messages "
               "kept back: %zu\n",
               queue->scheduler.in_flight, queue->scheduler.waiting,
               map_count(queue->scheduler.destinations), queue->workers.count,
               map_count(queue->scheduler.parked));
    buf_printf(out,
               "since the start: accepted %llu, refused %llu, removed %llu messages; delivered "
               "%llu, deferred %llu, bounced %llu, expired %llu recipients\n",
               (unsigned long long)queue->intake.accepted_total,
               (unsigned long long)queue->intake.refused_total,
               (unsigned long long)queue->active.removed_total,
               (unsigned long long)completion->delivered_total,
               (unsigned long long)completion->deferred_total,
               (unsigned long long)completion->bounced_total,
               (unsigned long long)completion->expired_total);
    buf_printf(
        out,
        "commits: %llu with %llu requests (largest %llu, %llu waits for more), mean %llu us, "
        "slowest %llu us\n",
        (unsigned long long)commits.commits, (unsigned long long)commits.requests,
        (unsigned long long)commits.largest_batch, (unsigned long long)commits.waits,
        (unsigned long long)(commits.commits > 0 ? commits.commit_us / commits.commits : 0),
        (unsigned long long)commits.slowest_commit_us);
    buf_printf(out, "content kept in memory: %zu bytes; new mail is %s\n",
               queue->content_cache.used_bytes,
               queue->intake.is_gate_open ? "accepted" : "refused: not enough disk space");
}
