/* SPDX-License-Identifier: Apache-2.0 */
#include "committer.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/handoff.h"
#include "base/memory.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    REOPENS_MAX = 3, /* within REOPEN_WINDOW_MS; then the role gives up */
    REOPEN_WINDOW_MS = 3600 * 1000,
    IDLE_MS = 5000, /* without work before the file may be compacted */
    COMPACT_PAUSE_MS = 3600 * 1000,
    ROOM_LOOK_MS = 20, /* the disk cannot fill beyond the reserve in this time */
};

/* What the thread has to say, on its way to the loop. */
struct remark {
    struct list link;
    enum severity severity;
    bool is_broken;
    char text[sizeof(struct error)];
};

enum { COMPANY_STEPS = 6, COMPANY_STEP_MAX_US = 300 };

struct committer {
    struct loop *loop;
    struct committer_events events;
    struct before_sleep before_sleep;
    struct wakeup wakeup;
    struct list gathering; /* submitted since the loop last slept, or since a patient one came */
    bool is_urgent;        /* one of those is not patient */
    struct timer patience; /* set while all that gathers is patient */
    size_t waiting_count;

    struct handoff requests; /* to the thread */
    struct handoff results;  /* to the loop */
    struct handoff remarks;  /* to the loop */
    pthread_t thread;

    /* the thread's */
    struct store *store;
    struct list waiting;
    struct list batch;
    size_t unit_limit;    /* how many units a batch may have, while the disk is full */
    bool is_room_refused; /* new mail was refused in this batch already */
    bool was_low;
    int64_t looked_ms; /* when it was last asked how much room there is */
    bool is_broken;
    int64_t reopened_ms[REOPENS_MAX]; /* when, the latest last */
    int64_t compacted_ms;
    size_t recent_urgent;     /* how many in one batch somebody waited for, lately; fades */
    int64_t recent_commit_us; /* what a commit took, lately */

    _Atomic uint64_t commits, committed, waits, largest_batch, commit_us, slowest_commit_us;
};

/* ---- the thread ---- */

__attribute__((format(printf, 4, 5))) static void
remark(struct committer *committer, enum severity severity, bool is_broken, const char *format, ...)
{
    struct remark *remark = memory_new(sizeof *remark);
    struct list one = LIST_INIT(one);
    va_list arguments;

    remark->severity = severity;
    remark->is_broken = is_broken;
    va_start(arguments, format);
    vsnprintf(remark->text, sizeof remark->text, format, arguments);
    va_end(arguments);
    list_append(&one, &remark->link);
    handoff_give(&committer->remarks, &one);
    loop_wake(&committer->wakeup);
}

static struct commit_request *request_of(struct list *link)
{
    return list_entry(link, struct commit_request, link);
}

/* Hands the batch back, with their own outcomes or all with the same. */
static void hand_back(struct committer *committer, enum store_outcome outcome)
{
    if (outcome != STORE_OK)
        list_each (link, &committer->batch)
            request_of(link)->outcome = outcome;
    handoff_give(&committer->results, &committer->batch);
    loop_wake(&committer->wakeup);
}

/* The batch is to be tried again, before anything that came later. */
static void put_back(struct committer *committer)
{
    while (!list_is_empty(&committer->batch)) {
        struct list *last = committer->batch.previous;
        list_remove(last);
        list_prepend(&committer->waiting, last);
    }
}

static void give_up(struct committer *committer, const char *text)
{
    committer->is_broken = true;
    remark(committer, SEVERITY_FATAL, true, "%s", text);
}

static bool may_reopen(struct committer *committer)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t first_ms = committer->reopened_ms[0];

    for (int i = 1; i < REOPENS_MAX; i++)
        committer->reopened_ms[i - 1] = committer->reopened_ms[i];
    committer->reopened_ms[REOPENS_MAX - 1] = now_ms;
    return first_ms == 0 || now_ms - first_ms > REOPEN_WINDOW_MS;
}

/* After a write error nothing is believed: the store is opened anew, proves that it can write, and
 * tells whether the batch is there. If it is not, it is tried again; nobody was told anything. */
static void recover(struct committer *committer, const struct error *cause)
{
    struct error error;

    if (!may_reopen(committer)) {
        give_up(committer, cause->message);
        hand_back(committer, STORE_FAILED);
        return;
    }
    enum store_outcome outcome = store_reopen(committer->store, &error);
    if (outcome == STORE_FAILED) {
        give_up(committer, error.message);
        hand_back(committer, STORE_FAILED);
        return;
    }
    remark(committer, SEVERITY_WARNING, false, "reopened the queue after an error: %s",
           cause->message);
    if (outcome == STORE_OK)
        hand_back(committer, STORE_OK);
    else
        put_back(committer);
}

static bool needs_room(const struct commit_request *request)
{
    return (request->kind == COMMIT_MESSAGE || request->kind == COMMIT_CHUNK) &&
           !request->may_use_reserve;
}

static enum store_outcome apply(struct store *store, struct commit_request *request,
                                struct error *error)
{
    struct store_message message = {
        .queue_id = request->queue_id,
        .envelope = request->envelope,
        .chunk_count = request->chunk,
        .content = request->content,
        .due_ms = request->due_ms,
    };

    switch (request->kind) {
    case COMMIT_CHUNK:
        return store_put_chunk(store, request->queue_id, request->chunk, request->content, error);
    case COMMIT_DROP_CHUNKS:
        return store_drop_chunks(store, request->queue_id, request->chunk, error);
    case COMMIT_MESSAGE:
        return store_put_message(store, &message, error);
    case COMMIT_UPDATE:
        return store_update_message(store, request->queue_id, request->envelope, request->due_ms,
                                    error);
    case COMMIT_DELETE: {
        enum store_outcome outcome = store_delete_message(store, request->queue_id, error);
        return outcome == STORE_ABSENT ? STORE_OK : outcome;
    }
    case COMMIT_ID_MARK:
        store_set_id_mark(store, request->queue_id);
        return STORE_OK;
    }
    unreachable();
}

/* Moves the next unit (a request and what must go with it) from `waiting` to the end of the given
 * list; whether any of it needs room for new mail. */
static bool take_unit(struct committer *committer, struct list *to)
{
    bool is_needing_room = false, is_last = false;

    while (!is_last && !list_is_empty(&committer->waiting)) {
        struct commit_request *request = request_of(committer->waiting.next);

        is_needing_room = is_needing_room || needs_room(request);
        is_last = !request->is_with_next;
        list_remove(&request->link);
        list_append(to, &request->link);
    }
    return is_needing_room;
}

static void refuse(struct committer *committer, struct list *unit)
{
    list_each (link, unit)
        request_of(link)->outcome = STORE_FULL;
    handoff_give(&committer->results, unit);
    loop_wake(&committer->wakeup);
}

static enum store_outcome apply_unit(struct committer *committer, struct list *unit,
                                     struct error *error)
{
    enum store_outcome outcome = STORE_OK;

    while (!list_is_empty(unit)) {
        struct commit_request *request = request_of(unit->next);

        list_remove(&request->link);
        list_append(&committer->batch, &request->link);
        if (outcome == STORE_OK)
            request->outcome = apply(committer->store, request, error);
        if (request->outcome == STORE_FULL || request->outcome == STORE_FAILED)
            outcome = request->outcome;
    }
    return outcome;
}

static bool is_low(struct committer *committer)
{
    struct store_space space;
    int64_t now_ms = clock_monotonic_ms();

    if (!committer->was_low && now_ms - committer->looked_ms < ROOM_LOOK_MS)
        return false;
    committer->looked_ms = now_ms;
    store_space(committer->store, 0, &space);
    if (space.is_low && !committer->was_low)
        remark(committer, SEVERITY_WARNING, false,
               "the disk with the queue is nearly full: no new mail until there is room");
    if (!space.is_low && committer->was_low)
        remark(committer, SEVERITY_INFO, false, "there is room for new mail again");
    committer->was_low = space.is_low;
    return space.is_low;
}

/* Applies units until the batch is full, nothing waits, or something goes wrong; counts them. */
static enum store_outcome fill_batch(struct committer *committer, size_t *unit_count,
                                     struct error *error)
{
    bool has_no_room = committer->is_room_refused || is_low(committer);
    enum store_outcome outcome = STORE_OK;

    *unit_count = 0;
    while (outcome == STORE_OK && !list_is_empty(&committer->waiting) &&
           *unit_count < committer->unit_limit && !store_batch_is_full(committer->store)) {
        struct list unit = LIST_INIT(unit);

        if (take_unit(committer, &unit) && has_no_room) {
            refuse(committer, &unit);
            continue;
        }
        outcome = apply_unit(committer, &unit, error);
        ++*unit_count;
    }
    return outcome;
}

/* No room for the batch as it is: new mail leaves it, then it is halved until it fits, so that
 * results and deletions proceed and make room. */
static void make_smaller(struct committer *committer, size_t unit_count)
{
    if (committer->is_room_refused && unit_count <= 1) {
        hand_back(committer, STORE_FULL);
        return;
    }
    if (committer->is_room_refused)
        committer->unit_limit = unit_count / 2;
    committer->is_room_refused = true;
    put_back(committer);
}

static void count_commit(struct committer *committer, int64_t started_us)
{
    uint64_t took_us = (uint64_t)(clock_monotonic_us() - started_us);
    uint64_t size = 0;

    list_each (link, &committer->batch)
        size++;
    if (committer->commits == 0)
        committer->recent_commit_us = (int64_t)took_us;
    committer->recent_commit_us += ((int64_t)took_us - committer->recent_commit_us) / 8;
    committer->commits++;
    committer->committed += size;
    committer->commit_us += took_us;
    if (size > committer->largest_batch)
        committer->largest_batch = size;
    if (took_us > committer->slowest_commit_us)
        committer->slowest_commit_us = took_us;
}

static void settle(struct committer *committer, enum store_outcome outcome, size_t unit_count,
                   const struct error *error)
{
    switch (outcome) {
    case STORE_OK:
        committer->is_room_refused = false;
        committer->unit_limit = SIZE_MAX;
        hand_back(committer, STORE_OK);
        return;
    case STORE_FULL:
        make_smaller(committer, unit_count);
        return;
    case STORE_ABSENT:
    case STORE_EXISTS:
    case STORE_DAMAGED:
    case STORE_UNKNOWN:
    case STORE_FAILED:
        recover(committer, error);
        return;
    }
    unreachable();
}

static void commit_batch(struct committer *committer)
{
    struct error error;
    size_t unit_count = 0;
    int64_t started_us = clock_monotonic_us();

    if (!store_begin(committer->store, &error)) {
        take_unit(committer, &committer->batch);
        recover(committer, &error);
        return;
    }
    enum store_outcome outcome = fill_batch(committer, &unit_count, &error);
    if (outcome == STORE_OK && unit_count > 0) {
        outcome = store_commit(committer->store, &error);
        if (outcome == STORE_OK)
            count_commit(committer, started_us);
    } else {
        store_abort(committer->store);
    }
    settle(committer, outcome, unit_count, &error);
}

static void fail_all(struct committer *committer)
{
    while (!list_is_empty(&committer->waiting))
        take_unit(committer, &committer->batch);
    hand_back(committer, STORE_FAILED);
}

/* While nobody wants to write; a copy holds up the next batch. */
static void compact_if_idle(struct committer *committer)
{
    int64_t now_ms = clock_monotonic_ms();
    struct error error;

    if (committer->is_broken || !store_is_sparse(committer->store) ||
        (committer->compacted_ms != 0 && now_ms - committer->compacted_ms < COMPACT_PAUSE_MS))
        return;
    committer->compacted_ms = now_ms;
    if (store_compact(committer->store, &error))
        remark(committer, SEVERITY_INFO, false, "compacted the queue");
    else
        remark(committer, SEVERITY_WARNING, false, "%s", error.message);
}

static size_t count_urgent(const struct list *requests)
{
    size_t count = 0;

    list_each (link, requests)
        count += request_of(link)->is_patient ? 0 : 1;
    return count;
}

/* Clients that were answered together come back together, a little apart. A commit that begins at
 * the first of them leaves the others to the next one: two commits of half the size, and each
 * client waits for the better part of both. So where batches were larger lately than what waits
 * now, more is waited for, in steps, until a step brings nothing. All steps together are shorter
 * than a commit. Who is alone never waits: the batches before were of one. */
static void wait_for_company(struct committer *committer)
{
    int64_t step_us = committer->recent_commit_us / COMPANY_STEPS;
    size_t count = count_urgent(&committer->waiting);

    if (step_us > COMPANY_STEP_MAX_US)
        step_us = COMPANY_STEP_MAX_US;
    for (int step = 0; step < COMPANY_STEPS && count > 0 && count < committer->recent_urgent;
         step++) {
        size_t before = count;

        committer->waits++;
        usleep((useconds_t)step_us);
        handoff_take(&committer->requests, &committer->waiting);
        count = count_urgent(&committer->waiting);
        if (count == before)
            break;
    }
    size_t faded = committer->recent_urgent - (committer->recent_urgent + 7) / 8;
    committer->recent_urgent = count > faded ? count : faded;
}

static void *run(void *argument)
{
    struct committer *committer = argument;

    for (;;) {
        int64_t deadline_ms = clock_monotonic_ms() + IDLE_MS;
        if (!handoff_wait(&committer->requests, &committer->waiting, deadline_ms))
            return NULL;
        if (list_is_empty(&committer->waiting))
            compact_if_idle(committer);
        while (!list_is_empty(&committer->waiting)) {
            if (committer->is_broken) {
                fail_all(committer);
            } else {
                wait_for_company(committer);
                commit_batch(committer);
            }
            handoff_take(&committer->requests, &committer->waiting);
        }
    }
}

/* ---- the loop ---- */

static void tell(struct committer *committer)
{
    struct list remarks = LIST_INIT(remarks);

    handoff_take(&committer->remarks, &remarks);
    list_each_removable (link, &remarks) {
        struct remark *remark = list_entry(link, struct remark, link);

        committer->events.notice(committer->events.argument, remark->severity, remark->text);
        if (remark->is_broken)
            committer->events.broken(committer->events.argument, remark->text);
        memory_free(remark);
    }
}

static void finish(struct committer *committer, struct list *results)
{
    while (!list_is_empty(results)) {
        struct commit_request *request = request_of(results->next);

        list_remove(&request->link);
        committer->waiting_count--;
        request->done(request);
    }
}

static void woken(struct wakeup *wakeup)
{
    struct committer *committer = list_entry(wakeup, struct committer, wakeup);
    struct list results = LIST_INIT(results);

    handoff_take(&committer->results, &results);
    tell(committer);
    finish(committer, &results);
}

static void hand_over(struct committer *committer)
{
    timer_clear(committer->loop, &committer->patience);
    committer->is_urgent = false;
    if (!list_is_empty(&committer->gathering))
        handoff_give(&committer->requests, &committer->gathering);
}

static void patience_over(struct timer *timer)
{
    hand_over(list_entry(timer, struct committer, patience));
}

static void before_sleep(struct before_sleep *hook)
{
    struct committer *committer = list_entry(hook, struct committer, before_sleep);

    if (committer->is_urgent)
        hand_over(committer);
    else if (!list_is_empty(&committer->gathering) && committer->patience.heap_slot == 0)
        timer_set(committer->loop, &committer->patience,
                  loop_now_ms(committer->loop) + COMMIT_PATIENCE_MS, patience_over);
}

void committer_submit(struct committer *committer, struct commit_request *request)
{
    committer->waiting_count++;
    committer->is_urgent = committer->is_urgent || !request->is_patient;
    list_append(&committer->gathering, &request->link);
}

size_t committer_waiting_count(const struct committer *committer)
{
    return committer->waiting_count;
}

void committer_statistics(const struct committer *committer,
                          struct committer_statistics *statistics)
{
    *statistics = (struct committer_statistics){
        .commits = committer->commits,
        .requests = committer->committed,
        .largest_batch = committer->largest_batch,
        .waits = committer->waits,
        .commit_us = committer->commit_us,
        .slowest_commit_us = committer->slowest_commit_us,
    };
}

static bool start_thread(struct committer *committer, struct error *error)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&committer->thread, NULL, run, committer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 || error_set(error, "start the committer's thread: %s", strerror(code));
}

static void release(struct committer *committer)
{
    handoff_clear(&committer->requests);
    handoff_clear(&committer->results);
    handoff_clear(&committer->remarks);
    memory_free(committer);
}

struct committer *committer_new(struct loop *loop, struct store *store,
                                const struct committer_events *events, struct error *error)
{
    struct committer *committer = memory_new(sizeof *committer);

    committer->loop = loop;
    committer->store = store;
    committer->events = *events;
    committer->unit_limit = SIZE_MAX;
    list_init(&committer->gathering);
    list_init(&committer->waiting);
    list_init(&committer->batch);
    handoff_init(&committer->requests);
    handoff_init(&committer->results);
    handoff_init(&committer->remarks);
    if (!wakeup_open(loop, &committer->wakeup, woken, error)) {
        release(committer);
        return NULL;
    }
    if (!start_thread(committer, error)) {
        wakeup_close(loop, &committer->wakeup);
        release(committer);
        return NULL;
    }
    loop_before_sleep(loop, &committer->before_sleep, before_sleep);
    return committer;
}

void committer_free(struct committer **committer_pointer)
{
    struct committer *committer = *committer_pointer;

    if (committer == NULL)
        return;
    while (committer->waiting_count > 0) {
        struct list results = LIST_INIT(results);

        hand_over(committer);
        handoff_wait(&committer->results, &results, DEADLINE_NEVER);
        finish(committer, &results);
    }
    handoff_close(&committer->requests);
    pthread_join(committer->thread, NULL);
    tell(committer);
    before_sleep_remove(&committer->before_sleep);
    wakeup_close(committer->loop, &committer->wakeup);
    release(committer);
    *committer_pointer = NULL;
}
