/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The anvil role: counts for all workers of smtpd what each client does, so that limits hold for
 * the relay as a whole. It has nothing but its channels.
 */
#include "peer.h"
#include "roles.h"

#include "base/clock.h"
#include "base/memory.h"
#include "service/confinement.h"

#include <time.h>

struct anvil_role {
    struct service *service;
    struct anvil anvil;
    struct timer sweep;
    struct timer statistics;
};

static void sweep(struct timer *timer)
{
    struct anvil_role *role = list_entry(timer, struct anvil_role, sweep);
    struct loop *loop = role->service->loop;

    counts_sweep(role->anvil.counts, clock_wall_us() / 1000000, role->anvil.unit_s);
    timer_set(loop, &role->sweep, loop_now_ms(loop) + role->anvil.unit_s * 1000, sweep);
}

static void log_statistics(struct anvil_role *role)
{
    autofree_buf struct buf line = { 0 };

    while (counts_next_statistic(role->anvil.counts, role->anvil.unit_s, &line))
        log_write_text(&role->service->log_context, SEVERITY_INFO, buf_str(&line));
}

static void statistics(struct timer *timer)
{
    struct anvil_role *role = list_entry(timer, struct anvil_role, statistics);
    struct loop *loop = role->service->loop;

    log_statistics(role);
    timer_set(loop, &role->statistics,
              loop_now_ms(loop) + role->service->config->anvil_status_update_time * 1000,
              statistics);
}

static void configure(struct anvil_role *role, const struct config *config)
{
    struct loop *loop = role->service->loop;
    int64_t now_ms = loop_now_ms(loop);

    role->anvil.unit_s = config->anvil_rate_time_unit > 0 ? config->anvil_rate_time_unit : 1;
    timer_set(loop, &role->sweep, now_ms + role->anvil.unit_s * 1000, sweep);
    if (config->anvil_status_update_time > 0)
        timer_set(loop, &role->statistics, now_ms + config->anvil_status_update_time * 1000,
                  statistics);
}

static bool anvil_start(struct service *service, struct error *error)
{
    struct anvil_role *role = memory_new(sizeof *role);

    (void)error;
    tzset(); /* the log shows local time, and its rules are in a file */
    service->state = role;
    role->service = service;
    role->anvil.counts = counts_new();
    anvil_peers_init(&role->anvil, service->loop);
    configure(role, service->config);
    return true;
}

static bool anvil_confine(struct service *service, struct error *error)
{
    static const struct confinement confinement = { .rights = 0 };

    return confinement_apply(service, &confinement, error);
}

static bool anvil_peer(struct service *service, struct str name, uint32_t worker, int fd,
                       struct error *error)
{
    struct anvil_role *role = service->state;

    (void)name;
    (void)worker; /* an older channel of the same worker closes by itself */
    return answerer_add(&role->anvil.peers, fd, error);
}

/* The counts stay: a reload is no way around a limit. */
static bool anvil_reload(struct service *service, struct config_source *source,
                         struct config *config, struct error *error)
{
    (void)source;
    (void)error;
    configure(service->state, config);
    return true;
}

static void anvil_status(struct service *service, struct buf *out)
{
    const struct anvil_role *role = service->state;

    buf_printf(out, "clients known: %zu\n", counts_client_count(role->anvil.counts));
}

static void anvil_stop(struct service *service)
{
    struct anvil_role *role = service->state;

    log_statistics(role);
    timer_clear(service->loop, &role->sweep);
    timer_clear(service->loop, &role->statistics);
    answerer_clear(&role->anvil.peers);
    counts_free(&role->anvil.counts);
    memory_free(role);
    service->state = NULL;
}

const struct role anvil_role = {
    .name = "anvil",
    .log_name = "anvil",
    .command = "anvil",
    .start = anvil_start,
    .confine = anvil_confine,
    .peer = anvil_peer,
    .reloads = true,
    .reload = anvil_reload,
    .status = anvil_status,
    .stop = anvil_stop,
};
