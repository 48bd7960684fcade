/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxywrite role: the caches that workers of smtp share and that outlive them, as
 * smtp_sasl_auth_cache_name names them. Confined, those workers open no file. It has its channels
 * and its caches' files.
 */
#include "caches.h"
#include "roles.h"

#include "base/memory.h"
#include "service/confinement.h"

#include <time.h>

enum { SWEEP_MS = 12 * 60 * 60 * 1000 };

struct proxywrite_role {
    struct service *service;
    struct caches caches;
    struct timer sweep;
};

static void sweep_expired(struct timer *timer)
{
    struct proxywrite_role *role = list_entry(timer, struct proxywrite_role, sweep);
    struct loop *loop = role->service->loop;

    caches_sweep(&role->caches);
    timer_set(loop, timer, loop_now_ms(loop) + SWEEP_MS, sweep_expired);
}

static bool proxywrite_start(struct service *service, struct error *error)
{
    struct proxywrite_role *role = memory_new(sizeof *role);

    tzset(); /* the log shows local time, and its rules are in a file */
    service->state = role;
    role->service = service;
    timer_set(service->loop, &role->sweep, loop_now_ms(service->loop) + SWEEP_MS, sweep_expired);
    return caches_open(&role->caches, service, error);
}

static bool proxywrite_confine(struct service *service, struct error *error)
{
    static const struct confinement confinement = { .rights = 0 };

    return confinement_apply(service, &confinement, error);
}

static bool proxywrite_peer(struct service *service, struct str name, uint32_t worker, int fd,
                            struct error *error)
{
    struct proxywrite_role *role = service->state;

    (void)name;
    (void)worker; /* an older channel of the same worker closes by itself */
    return answerer_add(&role->caches.clients, fd, error);
}

/* The files stay those of the start. */
static bool proxywrite_reload(struct service *service, struct config_source *source,
                              struct config *config, struct error *error)
{
    struct proxywrite_role *role = service->state;

    (void)config;
    (void)error;
    caches_configure(&role->caches, source);
    return true;
}

static void proxywrite_stop(struct service *service)
{
    struct proxywrite_role *role = service->state;

    timer_clear(service->loop, &role->sweep);
    caches_close(&role->caches);
    memory_free(role);
    service->state = NULL;
}

const struct role proxywrite_role = {
    .name = "proxywrite",
    .log_name = "proxymap",
    .command = "proxymap",
    .start = proxywrite_start,
    .confine = proxywrite_confine,
    .peer = proxywrite_peer,
    .reloads = true,
    .reload = proxywrite_reload,
    .stop = proxywrite_stop,
};
