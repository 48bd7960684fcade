/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include "base/file.h"
#include "delivery.h"
#include "report.h"
#include "tls_sessions.h"

#include <unistd.h>

enum { RESOLV_CONF_BYTES_MAX = 64 * 1024 };

/* What each event of a job is here. */
static struct delivery *delivery_of(struct job *job)
{
    return list_entry(job, struct delivery, job);
}

static void refuse(struct job *job, const char *reason)
{
    struct delivery *delivery = delivery_of(job);
    struct jobs *jobs = job->jobs;

    for (size_t i = 0; i < job->envelope.recipient_count; i++) {
        if (reason == NULL)
            report_undone(delivery, i);
        else
            report_failed(delivery, i, failure_new(&job->arena, "4.3.0", "%s", reason), NULL);
    }
    report_done(delivery);
    delivery_free(&delivery);
    job_ended(jobs);
}

static struct job *received(void *owner, const struct wire_deliver_job *message)
{
    struct worker *worker = owner;
    struct delivery *delivery = delivery_new(worker, message);
    struct error error;

    if (delivery == NULL)
        return NULL;
    delivery->transport = transport_get(&worker->transports, message->transport, &error);
    if (delivery->transport == NULL)
        log_warning(&worker->log, "transport %.*s: %s", STR_ARGS(message->transport),
                    error.message);
    return &delivery->job;
}

static void begin(struct job *job)
{
    struct delivery *delivery = delivery_of(job);

    if (delivery->transport == NULL)
        refuse(job, "mail transport unavailable");
    else
        delivery_start(delivery);
}

static void cancel(struct job *job)
{
    delivery_cancel(delivery_of(job));
}

static bool is_busy(void *owner)
{
    return ((const struct worker *)owner)->cache.closing_count > 0;
}

static const struct job_events job_events = {
    .received = received, .begin = begin, .refuse = refuse, .cancel = cancel, .is_busy = is_busy
};

static void look_for_end(void *argument)
{
    jobs_look_for_end(&((struct worker *)argument)->jobs);
}

/* While files can be opened. */
static void read_search_domains(struct worker *worker)
{
    autofree_buf struct buf text = { 0 };
    char host_name[256] = "";
    struct error unused;

    (void)!gethostname(host_name, sizeof host_name - 1);
    (void)!file_read("/etc/resolv.conf", RESOLV_CONF_BYTES_MAX, &text, &unused);
    search_domains_parse(&worker->arena, buf_str(&text), str_from(host_name),
                         &worker->search_domains);
}

bool worker_init(struct worker *worker, const struct worker_options *options, struct error *error)
{
    *worker = (struct worker){ .loop = options->loop,
                               .log = options->log,
                               .local_servers = options->local_servers,
                               .delay_decimals = options->config->delay_logging_resolution_limit };
    jobs_init(&worker->jobs,
              &(struct jobs_options){ .loop = options->loop,
                                      .log = options->log,
                                      .events = &job_events,
                                      .owner = worker,
                                      .has_long_queue_ids = options->config->enable_long_queue_ids,
                                      .drained = options->drained,
                                      .argument = options->argument });
    worker->keys = keys_client_new(options->loop);
    transports_init(&worker->transports, options->source, options->log.log, worker->keys);
    transports_open_all(&worker->transports);
    connection_cache_init(&worker->cache, options->loop, look_for_end, worker);
    worker->tls_sessions = tls_sessions_new();
    worker->dns = dns_client_new(options->loop);
    read_search_domains(worker);
    worker->best_mx_transport = options->config->best_mx_transport;
    worker->login_cache = login_cache_new(options->loop);
    return own_host_init(&worker->arena, options->config->myhostname,
                         options->config->inet_interfaces, options->config->proxy_interfaces,
                         &worker->own, error);
}

bool worker_attach_queue(struct worker *worker, int fd, struct error *error)
{
    return jobs_attach(&worker->jobs, fd, error);
}

void worker_drain(struct worker *worker)
{
    worker->jobs.is_draining = true; /* what the cache closes may be the last there is */
    connection_cache_close(&worker->cache);
    jobs_drain(&worker->jobs);
}

void worker_cancel_all(struct worker *worker)
{
    jobs_cancel_all(&worker->jobs);
}

void worker_abandon_all(struct worker *worker)
{
    jobs_abandon_all(&worker->jobs);
    connection_cache_hurry(&worker->cache);
}

void worker_clear(struct worker *worker)
{
    jobs_clear(&worker->jobs);
    connection_cache_clear(&worker->cache);
    tls_sessions_free(&worker->tls_sessions);
    dns_client_free(&worker->dns);
    login_cache_free(&worker->login_cache);
    transports_clear(&worker->transports);
    keys_client_free(&worker->keys);
    local_servers_free(&worker->local_servers);
    buf_free(&worker->scratch);
    arena_clear(&worker->arena);
}
