/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local role: puts mail into mailboxes and hands it to programs, for the services of master.cf
 * that run local, virtual or pipe. It is root, to become the recipient for one delivery; each step
 * that touches what belongs to a user is a child's (child.h). No threads: it forks.
 */
#include "confine.h"
#include "roles.h"
#include "worker.h"

#include "base/file.h"
#include "base/memory.h"

#include <time.h>

enum { LAST_CALL_MS = 1000 }; /* before the end of a drain: what is under way is given up */

struct local_state {
    struct worker worker;
    struct own_addresses *own_addresses;
    struct timer last_call;
};

static void drained(void *argument)
{
    service_drained(argument);
}

static bool local_role_start(struct service *service, struct error *error)
{
    struct local_state *state = memory_new(sizeof *state);

    tzset();
    service->state = state;
    state->own_addresses = own_addresses_new(service->config->inet_interfaces,
                                             service->config->proxy_interfaces, error);
    if (state->own_addresses == NULL)
        return false;
    struct worker_options options = {
        .loop = service->loop,
        .log = service->log_context,
        .source = service->source,
        .config = service->config,
        .own_addresses = state->own_addresses,
        .drained = drained,
        .argument = service,
    };
    worker_init(&state->worker, &options);
    return true;
}

static bool local_role_confine(struct service *service, struct error *error)
{
    const struct local_state *state = service->state;

    return local_confine_as(service, agents_change_roots(&state->worker.agents), error);
}

static bool local_role_peer(struct service *service, struct str role, uint32_t worker, int fd,
                            struct error *error)
{
    struct local_state *state = service->state;

    if (str_equal(role, STR("queue")))
        return jobs_attach(&state->worker.jobs, fd, error);
    if (str_equal(role, STR("intake")))
        return submission_attach(state->worker.submission, worker, fd, error);
    fd_close(&fd);
    return error_set(error, "a channel to \"%.*s\" is of no use to local", STR_ARGS(role));
}

static void last_call(struct timer *timer)
{
    struct local_state *state = list_entry(timer, struct local_state, last_call);

    jobs_abandon_all(&state->worker.jobs);
}

static void local_role_drain(struct service *service, int64_t deadline_ms)
{
    struct local_state *state = service->state;

    timer_set(service->loop, &state->last_call, deadline_ms - LAST_CALL_MS, last_call);
    jobs_drain(&state->worker.jobs);
}

static void local_role_status(struct service *service, struct buf *out)
{
    const struct worker *worker = &((const struct local_state *)service->state)->worker;

    buf_printf(out, "deliveries: %llu since start, %zu under way\n",
               (unsigned long long)worker->jobs.count, worker->jobs.open_count);
}

static void local_role_stop(struct service *service)
{
    struct local_state *state = service->state;

    if (state == NULL)
        return;
    timer_clear(service->loop, &state->last_call);
    if (state->own_addresses != NULL) {
        jobs_drain(&state->worker.jobs);
        jobs_abandon_all(&state->worker.jobs);
        if (fiber_count(service->loop) > 0)
            loop_run(service->loop); /* until drained() */
        worker_clear(&state->worker);
    }
    own_addresses_free(&state->own_addresses);
    memory_free(state);
    service->state = NULL;
}

const struct role local_role = {
    .name = "local",
    .log_name = "local",
    .start = local_role_start,
    .confine = local_role_confine,
    .peer = local_role_peer,
    .drain = local_role_drain,
    .status = local_role_status,
    .stop = local_role_stop,
};
