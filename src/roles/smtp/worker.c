/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include "base/ensure.h"
#include "base/memory.h"
#include "delivery.h"
#include "report.h"
#include "tls_sessions.h"

#include <unistd.h>

static void finish_if_drained(void *argument)
{
    struct worker *worker = argument;

    if (!worker->is_draining || worker->delivery_count > 0 || worker->cache.closing_count > 0)
        return;
    if (worker->queue != NULL) {
        wire_send_deliver_leaving(worker->queue,
                                  &(struct wire_deliver_leaving){ .job_count = worker->job_count });
        channel_flush(worker->queue);
    }
    worker->drained(worker->argument);
}

bool worker_init(struct worker *worker, const struct worker_options *options, struct error *error)
{
    *worker = (struct worker){ .loop = options->loop,
                               .log = options->log,
                               .local_servers = options->local_servers,
                               .has_long_queue_ids = options->config->enable_long_queue_ids,
                               .delay_decimals = options->config->delay_logging_resolution_limit,
                               .drained = options->drained,
                               .argument = options->argument };
    list_init(&worker->deliveries);
    transports_init(&worker->transports, options->source, options->log.log);
    transports_open_all(&worker->transports);
    connection_cache_init(&worker->cache, options->loop, finish_if_drained, worker);
    worker->tls_sessions = tls_sessions_new();
    worker->dns = dns_client_new(options->loop);
    return own_host_init(&worker->arena, options->config->myhostname,
                         options->config->inet_interfaces, options->config->proxy_interfaces,
                         &worker->own, error);
}

struct channel *worker_queue_of(const struct worker *worker, const struct delivery *delivery)
{
    return delivery->queue_generation == worker->queue_generation ? worker->queue : NULL;
}

/* A job that cannot be begun: every recipient is deferred, or left undone where `reason` is NULL.
 */
static void refuse_job(struct worker *worker, struct delivery *delivery, const char *reason)
{
    for (size_t i = 0; i < delivery->envelope.recipient_count; i++) {
        if (reason == NULL)
            report_undone(delivery, i);
        else
            report_failed(delivery, i, failure_new(&delivery->arena, "4.3.0", "%s", reason), NULL);
    }
    report_done(delivery);
    delivery_free(&delivery);
    worker_delivery_ended(worker);
}

static bool set_transport(struct worker *worker, struct delivery *delivery, struct str name)
{
    struct error error;

    delivery->transport = transport_get(&worker->transports, name, &error);
    if (delivery->transport != NULL)
        return true;
    log_warning(&worker->log, "transport %.*s: %s", STR_ARGS(name), error.message);
    return false;
}

static bool job_received(struct worker *worker, const struct wire_deliver_job *job)
{
    struct delivery *delivery = delivery_new(worker, job);

    if (delivery == NULL)
        return false;
    list_append(&worker->deliveries, &delivery->by_worker);
    worker->delivery_count++;
    worker->job_count++;
    if (worker->is_draining)
        refuse_job(worker, delivery, NULL);
    else if (!set_transport(worker, delivery, job->transport))
        refuse_job(worker, delivery, "mail transport unavailable");
    else if (!delivery->is_content_expected)
        delivery_start(delivery);
    return true;
}

static struct delivery *find_delivery(struct worker *worker, uint64_t job)
{
    for (struct list *link = worker->deliveries.previous; link != &worker->deliveries;
         link = link->previous) {
        struct delivery *delivery = list_entry(link, struct delivery, by_worker);
        if (delivery->job == job && delivery->queue_generation == worker->queue_generation)
            return delivery;
    }
    return NULL;
}

static void content_received(struct worker *worker, const struct wire_deliver_content_fd *message)
{
    struct delivery *delivery = find_delivery(worker, message->job);
    struct error error;

    if (delivery == NULL || !delivery->is_content_expected) {
        (void)close(message->content_fd); /* the job was refused */
        return;
    }
    if (delivery_set_content(delivery, message->content_fd, &error)) {
        delivery_start(delivery);
    } else {
        log_warning(&worker->log, "%s: %s", delivery->queue_id.text, error.message);
        refuse_job(worker, delivery, "the message's content could not be read");
    }
}

static void cancel_received(struct worker *worker, uint64_t job)
{
    struct delivery *delivery = find_delivery(worker, job);

    if (delivery != NULL)
        delivery_cancel(delivery);
}

static bool queue_received(void *owner, struct channel *channel, uint16_t number,
                           struct str payload)
{
    struct worker *worker = owner;
    union {
        struct wire_deliver_job job;
        struct wire_deliver_content_fd content;
        struct wire_deliver_cancel cancel;
    } message;

    switch (number) {
    case WIRE_deliver_job:
        return wire_decode_deliver_job(channel, payload, &message.job) &&
               job_received(worker, &message.job);
    case WIRE_deliver_content_fd:
        if (!wire_decode_deliver_content_fd(channel, payload, &message.content))
            return false;
        content_received(worker, &message.content);
        return true;
    case WIRE_deliver_cancel:
        if (!wire_decode_deliver_cancel(channel, payload, &message.cancel))
            return false;
        cancel_received(worker, message.cancel.job);
        return true;
    default:
        return false;
    }
}

/* Without the queue nobody hears the results: what can be given up is, and the queue's successor
 * begins again. */
static void queue_closed(void *owner, struct channel *channel, const char *reason)
{
    struct worker *worker = owner;

    (void)reason; /* the master logs why the queue ended */
    if (worker->queue == channel)
        channel_free(&worker->queue);
    worker_cancel_all(worker);
}

static const struct channel_events queue_events = { .received = queue_received,
                                                    .closed = queue_closed };

bool worker_attach_queue(struct worker *worker, int fd, struct error *error)
{
    struct channel *channel = channel_new(worker->loop, fd, &queue_events, worker, error);

    if (channel == NULL)
        return error_context(error, "channel to the queue");
    if (worker->queue != NULL) {
        channel_free(&worker->queue);
        worker_cancel_all(worker);
    }
    worker->queue = channel;
    worker->queue_generation++;
    return true;
}

void worker_drain(struct worker *worker)
{
    worker->is_draining = true;
    connection_cache_close(&worker->cache);
    finish_if_drained(worker);
}

void worker_cancel_all(struct worker *worker)
{
    list_each_removable (link, &worker->deliveries) {
        struct delivery *delivery = list_entry(link, struct delivery, by_worker);
        if (delivery->is_content_expected)
            refuse_job(worker, delivery, NULL);
        else
            delivery_cancel(delivery);
    }
}

void worker_abandon_all(struct worker *worker)
{
    list_each_removable (link, &worker->deliveries) {
        struct delivery *delivery = list_entry(link, struct delivery, by_worker);
        if (delivery->is_content_expected)
            refuse_job(worker, delivery, NULL);
        else
            fiber_cancel(delivery->fiber);
    }
    connection_cache_hurry(&worker->cache);
}

void worker_delivery_ended(struct worker *worker)
{
    worker->delivery_count--;
    finish_if_drained(worker);
}

void worker_clear(struct worker *worker)
{
    ensure(worker->delivery_count == 0);
    connection_cache_clear(&worker->cache);
    tls_sessions_free(&worker->tls_sessions);
    dns_client_free(&worker->dns);
    if (worker->queue != NULL)
        channel_free(&worker->queue);
    transports_clear(&worker->transports);
    local_servers_free(&worker->local_servers);
    buf_free(&worker->scratch);
    arena_clear(&worker->arena);
}
