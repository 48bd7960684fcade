/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler.h"

#include "advice.h"
#include "base/ensure.h"
#include "base/memory.h"
#include "gathering.h"
#include "inside.h"
#include "mail/address.h"
#include "queue.h"
#include "worker.h"

enum {
    TURN_ATTEMPTS = 256, /* then the rest of the loop has its turn */
    LOSSES_MAX = 2,      /* an attempt that killed so many workers is deferred */
    PASSES_MAX = 3,      /* and one that so many transports did not want */
};

/* ---- one message's attempts ---- */

static void count_waiting(const struct attempt *attempt, int change)
{
    struct destination *destination = attempt->destination;

    destination->waiting_count += (size_t)change;
    if (attempt->lane == 0)
        destination->small_waiting += (size_t)change;
    destination->queue->scheduler.waiting += (size_t)change;
}

static void attempt_enqueue(struct attempt *attempt)
{
    lanes_append(&attempt->destination->waiting, attempt->lane, &attempt->link);
    count_waiting(attempt, 1);
}

void scheduler_enqueue(struct message *message)
{
    list_each (link, &message->attempts) {
        struct attempt *attempt = list_entry(link, struct attempt, message_link);
        attempt_enqueue(attempt);
        destination_settle(attempt->destination);
    }
}

void scheduler_take(struct queue *queue, struct message *message)
{
    (void)queue;
    gather_attempts(message);
    scheduler_enqueue(message);
}

/* ---- the ends of an attempt ---- */

void attempt_record(struct attempt *attempt, uint32_t position, const struct result *result)
{
    uint32_t index = attempt->recipients[position];

    ensure(!(index & ATTEMPT_RECIPIENT_DONE));
    attempt->recipients[position] = index | ATTEMPT_RECIPIENT_DONE;
    attempt->open_count--;
    statistics_note(attempt->destination, result);
    message_record(attempt->message, index, result);
}

void attempt_pass(struct attempt *attempt, uint32_t position, struct str target)
{
    static const struct result looping = {
        .status = DELIVERY_DEFERRED,
        .dsn = STR_INIT("4.3.5"),
        .diagnostic = STR_INIT("mail system configuration error: transports pass the mail on to "
                               "one another"),
    };
    struct message *message = attempt->message;
    uint32_t index = attempt->recipients[position];
    struct str address = message->envelope.recipients[index].address;
    struct str nexthop = target;
    struct str name = str_cut(&nexthop, ":");

    if (attempt->passes >= PASSES_MAX || name.len == 0) {
        inside_end_one(attempt, position, &looping);
        return;
    }
    ensure(!(index & ATTEMPT_RECIPIENT_DONE));
    attempt->recipients[position] = index | ATTEMPT_RECIPIENT_DONE;
    attempt->open_count--;
    struct destination *destination =
        destination_find(transport_find(message->queue, name), message->queue,
                         nexthop.len > 0 ? nexthop : address_domain(address), address);
    struct attempt *next = attempt_new(message, destination, 1);
    attempt_add(next, index);
    next->passes = (uint8_t)(attempt->passes + 1);
    next->lane = attempt->lane;
    attempt_enqueue(next);
    destination_settle(destination);
}

static void record_open(struct attempt *attempt, const struct result *result)
{
    for (uint32_t i = 0; attempt->open_count > 0 && i < attempt->count; i++)
        if (!(attempt->recipients[i] & ATTEMPT_RECIPIENT_DONE))
            attempt_record(attempt, i, result);
}

static void attempt_free(struct attempt *attempt)
{
    struct message *message = attempt->message;

    list_remove(&attempt->link);
    list_remove(&attempt->message_link);
    memory_free(attempt);
    message->attempts_open--;
    completion_progress(message);
}

/* An attempt that never began. */
static void end_waiting(struct attempt *attempt, const struct result *result)
{
    record_open(attempt, result);
    count_waiting(attempt, -1);
    attempt_free(attempt);
}

static struct str site_status(const struct attempt *attempt)
{
    for (uint32_t i = 0; i < attempt->count; i++) {
        uint32_t index = attempt->recipients[i] & ~ATTEMPT_RECIPIENT_DONE;
        const struct recipient *recipient = &attempt->message->envelope.recipients[index];
        if (recipient->dsn_status.len > 0 && recipient->dsn_status.ptr[0] == '4')
            return recipient->dsn_status;
    }
    return STR("4.4.1");
}

static void learn(struct destination *destination, const struct attempt *attempt,
                  enum site_outcome site, struct str reason)
{
    const struct concurrency_limits *limits = &destination->transport->settings.concurrency;
    bool was_dead = destination_is_dead(destination);

    switch (site) {
    case SITE_WORKED:
        if (was_dead)
            destination_revive(destination);
        else
            concurrency_succeed(&destination->concurrency, limits);
        advise_of_feedback(destination, true);
        return;
    case SITE_FAILED:
        concurrency_fail(&destination->concurrency, limits);
        if (!was_dead)
            advise_of_feedback(destination, false);
        if (!was_dead && destination_is_dead(destination))
            destination_kill(destination, site_status(attempt), reason);
        return;
    case SITE_UNTOUCHED:
        return;
    }
}

void attempt_end(struct attempt *attempt, enum site_outcome site, struct str site_reason)
{
    static const struct result unknown = {
        .status = DELIVERY_DEFERRED,
        .dsn = STR_INIT("4.3.0"),
        .diagnostic = STR_INIT("unknown mail transport error"),
    };
    struct destination *destination = attempt->destination;

    record_open(attempt, &unknown);
    learn(destination, attempt, site, site_reason);
    rate_note(&destination->rate, loop_now_ms(destination->queue->loop));
    destination->concurrency.busy--;
    destination->transport->busy--;
    destination->queue->scheduler.in_flight--;
    attempt_free(attempt);
    destination_settle(destination);
}

/* Recipients that had their result before the worker died keep it. */
static void forget_done(struct attempt *attempt)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < attempt->count; i++)
        if (!(attempt->recipients[i] & ATTEMPT_RECIPIENT_DONE))
            attempt->recipients[kept++] = attempt->recipients[i];
    attempt->count = attempt->open_count = kept;
}

void attempt_return(struct attempt *attempt, bool may_be_why)
{
    static const struct result died = {
        .status = DELIVERY_DEFERRED,
        .dsn = STR_INIT("4.3.0"),
        .diagnostic = STR_INIT("unknown mail transport error: the delivery process ended"),
    };
    struct destination *destination = attempt->destination;
    struct scheduler *scheduler = &destination->queue->scheduler;

    attempt->worker = NULL;
    list_remove(&attempt->link);
    forget_done(attempt);
    if (attempt->count == 0 || scheduler->is_draining) {
        record_open(attempt, &(struct result){ .status = DELIVERY_UNDONE });
        attempt_end(attempt, SITE_UNTOUCHED, STR(""));
        return;
    }
    if (may_be_why && ++attempt->losses >= LOSSES_MAX) {
        record_open(attempt, &died);
        attempt_end(attempt, SITE_FAILED, died.diagnostic);
        return;
    }
    scheduler->in_flight--;
    destination->concurrency.busy--;
    destination->transport->busy--;
    rate_note(&destination->rate, loop_now_ms(destination->queue->loop));
    lanes_prepend(&destination->waiting, attempt->lane, &attempt->link);
    count_waiting(attempt, 1);
    destination_settle(destination);
}

/* ---- who is next ---- */

static struct attempt *any_waiting(const struct destination *destination)
{
    return list_entry(lanes_peek(&destination->waiting), struct attempt, link);
}

/* The attempt is on its way: it counts until attempt_end or attempt_return. */
static struct attempt *begin_next(struct destination *destination)
{
    struct scheduler *scheduler = &destination->queue->scheduler;
    struct attempt *attempt = list_entry(lanes_next(&destination->waiting), struct attempt, link);

    list_remove(&attempt->link);
    count_waiting(attempt, -1);
    destination->concurrency.busy++;
    destination->transport->busy++;
    rate_note(&destination->transport->rate, loop_now_ms(destination->queue->loop));
    scheduler->in_flight++;
    /* It goes to the end of the line of its transport's destinations. */
    list_remove(&destination->link);
    advise_of_clogging(destination);
    destination_settle(destination);
    return attempt;
}

/* False: no worker can take it now. */
static bool serve(struct queue *queue, struct transport *transport)
{
    struct destination *destination = transport_next(transport);

    if (destination == NULL)
        return true;
    if (transport->settings.kind != TRANSPORT_WORKER &&
        transport->settings.kind != TRANSPORT_LOCAL) {
        inside_deliver(begin_next(destination));
        return true;
    }
    struct worker *worker = workers_choose(queue, transport->settings.kind, destination->affinity);
    if (worker == NULL)
        return false;
    worker_send(worker, begin_next(destination));
    return true;
}

static void defer_suspended(struct queue *queue)
{
    struct destination *destination =
        list_entry(queue->scheduler.suspended.next, struct destination, link);
    struct attempt *attempt = any_waiting(destination);

    inside_suspend(attempt, destination);
    end_waiting(attempt, &(struct result){ .status = DELIVERY_UNDONE }); /* all have theirs */
    destination_settle(destination);
}

static void again_expired(struct timer *timer)
{
    scheduler_run(list_entry(timer, struct queue, scheduler.again));
}

void scheduler_run(struct queue *queue)
{
    struct scheduler *scheduler = &queue->scheduler;
    int turns = TURN_ATTEMPTS;

    if (scheduler->is_running || scheduler->is_draining)
        return;
    scheduler->is_running = true;
    while (!list_is_empty(&scheduler->suspended) && turns-- > 0)
        defer_suspended(queue);
    while (!list_is_empty(&scheduler->ready) && turns-- > 0) {
        struct transport *transport = list_entry(scheduler->ready.next, struct transport, link);
        list_remove(&transport->link);
        if (serve(queue, transport)) {
            transport_settle(queue, transport); /* at the end of the line, where it is ready */
        } else {
            transport->is_stalled = true;
            list_append(&scheduler->stalled, &transport->link);
        }
    }
    scheduler->is_running = false;
    if (turns <= 0)
        timer_set(queue->loop, &scheduler->again, loop_now_ms(queue->loop), again_expired);
}

void scheduler_unstall(struct queue *queue)
{
    struct scheduler *scheduler = &queue->scheduler;

    list_each_removable (link, &scheduler->stalled) {
        struct transport *transport = list_entry(link, struct transport, link);
        list_remove(&transport->link);
        transport->is_stalled = false;
        transport_settle(queue, transport);
    }
    scheduler_run(queue);
}

/* ---- from outside ---- */

static void withdraw(struct attempt *attempt)
{
    struct destination *destination = attempt->destination;

    end_waiting(attempt, &(struct result){ .status = DELIVERY_UNDONE });
    destination_settle(destination);
}

void scheduler_withdraw(struct queue *queue, struct message *message)
{
    size_t left = message->attempts_open;

    (void)queue;
    /* The last one may end the message: count, do not look at its list again. */
    for (struct list *link = message->attempts.next; left > 0; left--) {
        struct attempt *attempt = list_entry(link, struct attempt, message_link);
        link = link->next;
        if (attempt->worker == NULL && !list_is_empty(&attempt->link))
            withdraw(attempt);
    }
}

static void withdraw_all(struct destination *destination)
{
    size_t left = destination->waiting_count;

    while (left-- > 0)
        withdraw(any_waiting(destination)); /* the last one may free the destination */
}

/* Visits each destination once; `visit` may free that one. */
static void each_destination(struct queue *queue, void (*visit)(struct destination *))
{
    struct map_cursor cursor = { 0 };
    size_t count = 0;
    struct destination **all =
        memory_new_array(map_count(queue->scheduler.destinations) + 1, sizeof *all);

    while (map_next(queue->scheduler.destinations, &cursor))
        all[count++] = cursor.value;
    for (size_t i = 0; i < count; i++)
        visit(all[i]);
    memory_free(all);
}

void scheduler_drain(struct queue *queue)
{
    queue->scheduler.is_draining = true;
    each_destination(queue, withdraw_all);
}

static void revive_dead(struct destination *destination)
{
    if (destination_is_dead(destination))
        destination_revive(destination);
}

void scheduler_forget_dead(struct queue *queue)
{
    each_destination(queue, revive_dead);
    scheduler_run(queue);
}

void scheduler_reconfigure(struct queue *queue)
{
    struct map_cursor cursor = { 0 };

    while (map_next(queue->scheduler.transports, &cursor)) {
        struct transport *transport = cursor.value;
        struct arena old = transport->arena;
        transport->arena = (struct arena){ 0 };
        transport->name = arena_copy(&transport->arena, transport->name);
        transport->settings =
            settings_transport(queue->settings, transport->name, &transport->arena);
        arena_clear(&old);
        if (!transport->is_stalled)
            transport_settle(queue, transport);
    }
    each_destination(queue, destination_refit);
    scheduler_run(queue);
}

void scheduler_init(struct queue *queue)
{
    struct scheduler *scheduler = &queue->scheduler;

    scheduler->transports = map_new();
    scheduler->destinations = map_new();
    scheduler->parked = map_new();
    list_init(&scheduler->ready);
    list_init(&scheduler->stalled);
    list_init(&scheduler->suspended);
    list_init(&scheduler->shorts);
}

static void free_destination(struct destination *destination)
{
    destination_free(&destination);
}

void scheduler_clear(struct queue *queue)
{
    struct scheduler *scheduler = &queue->scheduler;
    struct map_cursor cursor = { 0 };

    ensure(scheduler->in_flight == 0 && scheduler->waiting == 0);
    timer_clear(queue->loop, &scheduler->again);
    each_destination(queue, free_destination);
    while (map_next(scheduler->transports, &cursor)) {
        struct transport *transport = cursor.value;
        transport_free(&transport);
    }
    map_free(&scheduler->transports);
    map_free(&scheduler->destinations);
    map_free(&scheduler->parked);
    buf_free(&scheduler->key);
}
