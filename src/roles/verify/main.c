/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verify role: whether mail to an address would be taken, for reject_unverified_recipient and
 * reject_unverified_sender. It keeps what probes found, and asks the queue for new ones. It has its
 * channels and its cache's file.
 */
#include "book.h"
#include "roles.h"

#include "base/memory.h"
#include "service/confinement.h"

#include <time.h>

struct verify_role {
    struct service *service;
    struct book book;
    struct timer sweep;
};

static void sweep_expired(struct timer *timer)
{
    struct verify_role *role = list_entry(timer, struct verify_role, sweep);
    struct loop *loop = role->service->loop;

    book_sweep(&role->book);
    timer_set(loop, timer,
              loop_now_ms(loop) + role->book.config->address_verify_cache_cleanup_interval * 1000,
              sweep_expired);
}

static void configure(struct verify_role *role, const struct config *config)
{
    struct loop *loop = role->service->loop;

    book_configure(&role->book, config);
    timer_clear(loop, &role->sweep);
    if (config->address_verify_cache_cleanup_interval > 0)
        timer_set(loop, &role->sweep,
                  loop_now_ms(loop) + config->address_verify_cache_cleanup_interval * 1000,
                  sweep_expired);
}

static bool verify_start(struct service *service, struct error *error)
{
    struct verify_role *role = memory_new(sizeof *role);

    tzset(); /* the log shows local time, and its rules are in a file */
    service->state = role;
    role->service = service;
    role->book.loop = service->loop;
    role->book.log = service->log_context;
    book_init(&role->book);
    configure(role, service->config);
    return kept_cache_open(&role->book.cache, service, "address_verify_map",
                           service->config->address_verify_map, error);
}

static bool verify_confine(struct service *service, struct error *error)
{
    static const struct confinement confinement = { .rights = 0 };

    return confinement_apply(service, &confinement, error);
}

static bool verify_peer(struct service *service, struct str name, uint32_t worker, int fd,
                        struct error *error)
{
    struct verify_role *role = service->state;

    (void)worker; /* an older channel of the same worker closes by itself */
    return str_equal(name, STR("queue")) ? book_attach_queue(&role->book, fd, error)
                                         : answerer_add(&role->book.clients, fd, error);
}

/* The cache's file stays the one of the start. */
static bool verify_reload(struct service *service, struct config_source *source,
                          struct config *config, struct error *error)
{
    (void)source;
    (void)error;
    configure(service->state, config);
    return true;
}

static void verify_stop(struct service *service)
{
    struct verify_role *role = service->state;

    timer_clear(service->loop, &role->sweep);
    book_clear(&role->book);
    memory_free(role);
    service->state = NULL;
}

const struct role verify_role = {
    .name = "verify",
    .log_name = "verify",
    .command = "verify",
    .start = verify_start,
    .confine = verify_confine,
    .peer = verify_peer,
    .reloads = true,
    .reload = verify_reload,
    .stop = verify_stop,
};
