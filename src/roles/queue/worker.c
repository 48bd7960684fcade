/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"
#include "notice.h"
#include "queue.h"
#include "wire/wire.h"

enum {
    WORKER_UNSENT_MAX = 8 * 1024 * 1024, /* a worker that does not read gets no more */
    LOAD_SLACK = 16, /* so much more than the idlest may the preferred worker have */
};

/* ---- job numbers ---- */

static uint64_t job_open(struct workers *workers, struct attempt *attempt)
{
    if (workers->free_count == 0) {
        size_t old = workers->slot_count, count = old > 0 ? old * 2 : 256;
        workers->jobs = memory_resize(workers->jobs, count * sizeof workers->jobs[0]);
        workers->generations =
            memory_resize(workers->generations, count * sizeof workers->generations[0]);
        workers->free_slots =
            memory_resize(workers->free_slots, count * sizeof workers->free_slots[0]);
        for (size_t i = count; i > old; i--) {
            workers->jobs[i - 1] = NULL;
            workers->generations[i - 1] = 0;
            workers->free_slots[workers->free_count++] = (uint32_t)(i - 1);
        }
        workers->slot_count = count;
    }
    uint32_t slot = workers->free_slots[--workers->free_count];
    workers->jobs[slot] = attempt;
    return (uint64_t)workers->generations[slot] << 32 | slot;
}

static struct attempt *job_find(const struct worker *worker, uint64_t job)
{
    const struct workers *workers = &worker->queue->workers;
    uint32_t slot = (uint32_t)job;

    if (slot >= workers->slot_count || workers->generations[slot] != job >> 32)
        return NULL;
    struct attempt *attempt = workers->jobs[slot];
    return attempt != NULL && attempt->worker == worker ? attempt : NULL;
}

static void job_close(struct workers *workers, uint64_t job)
{
    uint32_t slot = (uint32_t)job;

    workers->jobs[slot] = NULL;
    workers->generations[slot]++;
    workers->free_slots[workers->free_count++] = slot;
}

/* The attempt is no longer this worker's. */
static void detach(struct attempt *attempt)
{
    job_close(&attempt->worker->queue->workers, attempt->job);
    list_remove(&attempt->link);
    attempt->worker->load--;
    attempt->worker = NULL;
}

/* ---- to the worker ---- */

static void send_job(struct worker *worker, struct attempt *attempt, enum content_kind kind)
{
    struct message *message = attempt->message;
    struct buf *envelope = &worker->queue->scratch;
    struct arena scratch = { 0 };

    buf_clear(envelope);
    message_encode_part(message, attempt->recipients, attempt->count, &scratch, envelope);
    arena_clear(&scratch);
    wire_send_deliver_job(worker->channel,
                          &(struct wire_deliver_job){
                              .job = attempt->job,
                              .queue_id = message->queue_id,
                              .transport = attempt->destination->transport->name,
                              .nexthop = attempt->destination->nexthop,
                              .envelope = buf_str(envelope),
                              .is_content_beside = kind == CONTENT_BESIDE,
                              .content = kind == CONTENT_INLINE
                                             ? str_of(message->content, message->content_len)
                                             : STR(""),
                              .queue_manager_us = message->taken_up_us,
                          });
    if (kind == CONTENT_BESIDE)
        wire_send_deliver_content_fd(worker->channel, &(struct wire_deliver_content_fd){
                                                          .job = attempt->job,
                                                          .content_fd = message->content_fd,
                                                      });
}

/* The content cannot be had: the attempt ends here. */
static void fail_job(struct attempt *attempt, enum content_kind kind, const struct error *error)
{
    struct message *message = attempt->message;
    const struct log_context *qmgr = &message->queue->settings->speakers[SPEAKER_QMGR];
    struct result result = { .status = DELIVERY_DEFERRED,
                             .dsn = STR("4.3.0"),
                             .diagnostic = STR("queue file read error") };

    if (kind == CONTENT_DAMAGED) {
        log_error(qmgr,
                  "%s: its content fails the checksum (%s); the message is on hold: restore it, "
                  "or delete it with postsuper -d %s",
                  message->id.text, error->message, message->id.text);
        message->envelope.flags |= ENVELOPE_HELD;
    } else if (kind == CONTENT_FAILED) {
        log_warning(qmgr, "%s: cannot read its content: %s", message->id.text, error->message);
    }
    detach(attempt);
    for (uint32_t i = 0; i < attempt->count; i++)
        attempt_record(attempt, i, &result);
    attempt_end(attempt, SITE_UNTOUCHED, STR(""));
}

static void worker_free(struct worker *worker)
{
    list_remove(&worker->link);
    channel_free(&worker->channel);
    memory_free(worker);
}

/* The worker went away while its content was read. */
static void give_back(struct worker *worker, struct attempt *attempt)
{
    struct queue *queue = worker->queue;

    content_release(attempt->message);
    detach(attempt);
    if (worker->load == 0)
        worker_free(worker);
    attempt_return(attempt, false);
    scheduler_run(queue);
}

static void load_and_send(struct attempt *attempt)
{
    struct error error = { 0 };
    struct worker *worker = attempt->worker;
    enum content_kind kind;

    attempt->is_loading = true;
    kind = content_pin(attempt->message, &error); /* may yield in a fiber; the attempt stays */
    attempt->is_loading = false;
    if (kind != CONTENT_INLINE && kind != CONTENT_BESIDE)
        fail_job(attempt, kind, &error);
    else if (worker->is_closed)
        give_back(worker, attempt);
    else
        send_job(worker, attempt, kind);
}

static void load_fiber(void *argument)
{
    load_and_send(argument);
}

void worker_send(struct worker *worker, struct attempt *attempt)
{
    attempt->worker = worker;
    attempt->job = job_open(&worker->queue->workers, attempt);
    list_append(&worker->attempts, &attempt->link);
    worker->load++;
    if (content_needs_fiber(attempt->message))
        fiber_start(worker->queue->loop, "read content", load_fiber, attempt);
    else
        load_and_send(attempt);
}

/* ---- from the worker ---- */

static bool is_status(uint8_t status)
{
    return status == DELIVERY_SENT || status == DELIVERY_DEFERRED || status == DELIVERY_BOUNCED ||
           status == DELIVERY_UNDONE;
}

/* local says itself where a recipient goes on to. The smtp role meets the network: it may only say
 * that this relay is the best exchanger, and where such mail goes is best_mx_transport's to say. */
static bool pass(struct worker *worker, struct attempt *attempt,
                 const struct wire_deliver_result *message)
{
    static const struct result unclear = {
        .status = DELIVERY_DEFERRED,
        .dsn = STR_INIT("4.3.5"),
        .diagnostic = STR_INIT("best_mx_transport changed while the mail was under way"),
    };
    struct str best_mx = worker->queue->settings->config->best_mx_transport;

    if (worker->kind == TRANSPORT_LOCAL)
        attempt_pass(attempt, message->recipient, message->diagnostic);
    else if (message->diagnostic.len > 0)
        return false;
    else if (best_mx.len > 0)
        attempt_pass(attempt, message->recipient, best_mx);
    else
        attempt_record(attempt, message->recipient, &unclear);
    return true;
}

static bool on_result(struct worker *worker, struct str payload)
{
    struct wire_deliver_result message;

    if (!wire_decode_deliver_result(worker->channel, payload, &message))
        return false;
    struct attempt *attempt = job_find(worker, message.job);
    if (attempt == NULL || attempt->is_loading || message.recipient >= attempt->count ||
        (attempt->recipients[message.recipient] & ATTEMPT_RECIPIENT_DONE) ||
        message.action > DSN_ACTION_LAST ||
        !(is_status(message.status) || message.status == DELIVERY_PASSED))
        return false;
    if (message.status == DELIVERY_PASSED)
        return pass(worker, attempt, &message);
    attempt_record(attempt, message.recipient,
                   &(struct result){
                       .status = message.status,
                       .dsn = message.dsn,
                       .diagnostic = message.diagnostic,
                       .relay = message.relay,
                       .remote_mta = message.remote_mta,
                       .smtp_reply = message.smtp_reply,
                       .action = message.action,
                   });
    return true;
}

static bool on_done(struct worker *worker, struct str payload)
{
    struct wire_deliver_done message;
    struct queue *queue = worker->queue;

    if (!wire_decode_deliver_done(worker->channel, payload, &message))
        return false;
    struct attempt *attempt = job_find(worker, message.job);
    if (attempt == NULL || attempt->is_loading || message.site < SITE_WORKED ||
        message.site > SITE_UNTOUCHED)
        return false;
    content_release(attempt->message);
    detach(attempt);
    attempt_end(attempt, message.site, message.site_reason);
    if (!list_is_empty(&queue->scheduler.stalled))
        scheduler_unstall(queue);
    else
        scheduler_run(queue);
    return true;
}

static bool on_notice(struct worker *worker, struct str payload)
{
    struct wire_deliver_notice message;

    return wire_decode_deliver_notice(worker->channel, payload, &message) &&
           notice_send(worker->queue, message.recipient, message.content);
}

/* What is on its way to it still, another gets. */
static bool on_leaving(struct worker *worker, struct str payload)
{
    struct wire_deliver_leaving message;

    if (!wire_decode_deliver_leaving(worker->channel, payload, &message))
        return false;
    worker->is_retired = worker->is_leaving = true;
    return true;
}

static bool worker_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct worker *worker = owner;

    (void)channel;
    if (number == WIRE_deliver_result)
        return on_result(worker, payload);
    if (number == WIRE_deliver_done)
        return on_done(worker, payload);
    if (number == WIRE_deliver_notice)
        return on_notice(worker, payload);
    if (number == WIRE_deliver_leaving)
        return on_leaving(worker, payload);
    return false;
}

/* What it had in flight waits again; the worker lives on while content is being read for it. */
static void lose(struct worker *worker)
{
    size_t left = worker->load;

    worker->is_closed = true;
    list_remove(&worker->link);
    worker->queue->workers.count--;
    for (struct list *link = worker->attempts.next; left > 0; left--) {
        struct attempt *attempt = list_entry(link, struct attempt, link);
        link = link->next;
        if (attempt->is_loading)
            continue;
        content_release(attempt->message);
        detach(attempt);
        attempt_return(attempt, !worker->is_leaving);
    }
    if (worker->load == 0)
        worker_free(worker);
}

static void worker_closed(void *owner, struct channel *channel, const char *reason)
{
    struct worker *worker = owner;
    struct queue *queue = worker->queue;

    (void)channel;
    if (worker->is_closed)
        return;
    if (worker->load > 0 && !worker->is_leaving)
        log_warning(&queue->settings->speakers[SPEAKER_QMGR],
                    "lost delivery worker %u (%s): %zu deliveries wait again", worker->number,
                    reason, worker->load);
    lose(worker);
    scheduler_run(queue);
}

static const struct channel_events worker_events = { worker_received, worker_closed };

/* ---- all of them ---- */

bool workers_add(struct queue *queue, enum transport_kind kind, uint32_t number, int fd,
                 struct error *error)
{
    struct worker *worker = memory_new(sizeof *worker);

    worker->kind = kind;
    worker->queue = queue;
    worker->number = number;
    list_init(&worker->link);
    list_init(&worker->attempts);
    worker->channel = channel_new(queue->loop, fd, &worker_events, worker, error);
    if (worker->channel == NULL) {
        memory_free(worker);
        return false;
    }
    /* An older one with this number finishes what it has (a reload replaces workers); it gets
     * nothing new. */
    list_each (link, &queue->workers.all) {
        struct worker *other = list_entry(link, struct worker, link);
        if (other->number == number)
            other->is_retired = true;
    }
    list_append(&queue->workers.all, &worker->link);
    queue->workers.count++;
    scheduler_unstall(queue);
    return true;
}

struct worker *workers_choose(struct queue *queue, enum transport_kind kind, uint64_t affinity)
{
    struct worker *preferred = NULL, *idlest = NULL;
    uint64_t best = 0;

    list_each (link, &queue->workers.all) {
        struct worker *worker = list_entry(link, struct worker, link);
        if (worker->kind != kind || worker->is_retired ||
            channel_unsent_bytes(worker->channel) > WORKER_UNSENT_MAX)
            continue;
        /* The highest score wins: removing a worker moves only its own destinations. */
        uint64_t score = (affinity ^ worker->number) * 0x9e3779b97f4a7c15u;
        if (preferred == NULL || score > best) {
            preferred = worker;
            best = score;
        }
        if (idlest == NULL || worker->load < idlest->load)
            idlest = worker;
    }
    if (preferred != NULL && preferred->load > 2 * idlest->load + LOAD_SLACK)
        return idlest;
    return preferred;
}

void workers_init(struct queue *queue)
{
    list_init(&queue->workers.all);
}

void workers_clear(struct queue *queue)
{
    struct workers *workers = &queue->workers;

    while (!list_is_empty(&workers->all))
        lose(list_entry(workers->all.next, struct worker, link));
    memory_free(workers->jobs);
    memory_free(workers->generations);
    memory_free(workers->free_slots);
    *workers = (struct workers){ 0 };
    list_init(&workers->all);
}
