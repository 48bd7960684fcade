/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smtp role: takes jobs from the queue, looks up where they go, hands them to the servers there
 * and reports what became of each recipient. One of several workers; none opens a file.
 */
#include "confine.h"
#include "roles.h"
#include "worker.h"

#include "base/file.h"
#include "base/memory.h"

enum { LAST_CALL_MS = 500 }; /* before the end of a drain: what is under way is given up */

struct smtp_state {
    struct worker worker;
    struct timer last_call;
};

static void drained(void *argument)
{
    service_drained(argument);
}

static bool smtp_start(struct service *service, struct error *error)
{
    struct smtp_state *state = memory_new(sizeof *state);
    struct worker_options options = {
        .loop = service->loop,
        .log = service->log_context,
        .source = service->source,
        .config = service->config,
        .local_servers = local_servers_new(service),
        .drained = drained,
        .argument = service,
    };

    service->state = state;
    return worker_init(&state->worker, &options, error);
}

static bool smtp_peer(struct service *service, struct str role, uint32_t worker, int fd,
                      struct error *error)
{
    struct smtp_state *state = service->state;

    (void)worker;
    if (str_equal(role, STR("queue")))
        return worker_attach_queue(&state->worker, fd, error);
    if (str_equal(role, STR("resolver")))
        return dns_client_attach(state->worker.dns, fd, error);
    if (str_equal(role, STR("proxywrite")))
        return login_cache_attach(state->worker.login_cache, fd, error);
    if (str_equal(role, STR("keys")))
        return keys_client_attach(state->worker.keys, fd, error);
    fd_close(&fd);
    return error_set(error, "a channel to \"%.*s\" is of no use to smtp", STR_ARGS(role));
}

static void last_call(struct timer *timer)
{
    struct smtp_state *state = list_entry(timer, struct smtp_state, last_call);

    worker_abandon_all(&state->worker);
}

static void smtp_drain(struct service *service, int64_t deadline_ms)
{
    struct smtp_state *state = service->state;

    timer_set(service->loop, &state->last_call, deadline_ms - LAST_CALL_MS, last_call);
    worker_drain(&state->worker);
}

static void smtp_status(struct service *service, struct buf *out)
{
    const struct worker *worker = &((const struct smtp_state *)service->state)->worker;

    buf_printf(out,
               "deliveries: %llu since start, %zu under way; connections: %llu opened, %llu "
               "reused, %zu idle\n",
               (unsigned long long)worker->jobs.count, worker->jobs.open_count,
               (unsigned long long)worker->opened_connection_count,
               (unsigned long long)worker->reused_connection_count, worker->cache.idle_count);
}

static void smtp_stop(struct service *service)
{
    struct smtp_state *state = service->state;

    if (state == NULL)
        return;
    timer_clear(service->loop, &state->last_call);
    worker_drain(&state->worker);
    worker_abandon_all(&state->worker);
    if (fiber_count(service->loop) > 0)
        loop_run(service->loop); /* until drained() */
    worker_clear(&state->worker);
    memory_free(state);
    service->state = NULL;
}

const struct role smtp_role = {
    .name = "smtp",
    .log_name = "smtp",
    .may_ask_table_servers = true,
    .start = smtp_start,
    .confine = smtp_confine,
    .peer = smtp_peer,
    .drain = smtp_drain,
    .status = smtp_status,
    .stop = smtp_stop,
};
