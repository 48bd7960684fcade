/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys role: has the private keys of TLS, so that whoever talks to the network has none. It
 * reads them before it is confined, and then does with them what smtpd and smtp ask, over its
 * channels; it has nothing else.
 */
#include "peer.h"
#include "roles.h"

#include "base/memory.h"
#include "service/confinement.h"

#include <time.h>
#include <unistd.h>

/* After a reload sessions that showed the old certificate, or are about to, may want its key for so
 * long. TLS comes early in a session. */
enum { RETIRED_MS = 5 * 60 * 1000 };

struct keys_role {
    struct service *service;
    struct keyring keyring;
    struct keys_counts counts;
    struct keys_side smtpd, smtp;
    struct timer retirement;
};

static void asker_gone(void *argument)
{
    const struct keys_role *role = argument;

    if (role->service->is_draining && keys_side_count(&role->smtpd) == 0 &&
        keys_side_count(&role->smtp) == 0)
        service_drained(role->service);
}

static void init_side(struct keys_role *role, struct keys_side *side, const char *name)
{
    *side = (struct keys_side){ .role = name,
                                .keyring = &role->keyring,
                                .counts = &role->counts,
                                .gone = asker_gone,
                                .argument = role };
    keys_side_init(side, role->service->loop);
}

static bool keys_start(struct service *service, struct error *error)
{
    struct keys_role *role = memory_new(sizeof *role);

    tzset(); /* the log shows local time, and its rules are in a file */
    service->state = role;
    role->service = service;
    init_side(role, &role->smtpd, "smtpd");
    init_side(role, &role->smtp, "smtp");
    return keyring_open(&role->keyring, service, error);
}

static bool keys_confine(struct service *service, struct error *error)
{
    static const struct confinement confinement = { .rights = 0 };

    return confinement_apply(service, &confinement, error);
}

static bool keys_peer(struct service *service, struct str name, uint32_t worker, int fd,
                      struct error *error)
{
    struct keys_role *role = service->state;

    (void)worker;
    if (str_equal(name, STR("smtpd")))
        return keys_side_add(&role->smtpd, fd, error);
    if (str_equal(name, STR("smtp")))
        return keys_side_add(&role->smtp, fd, error);
    close(fd);
    return true;
}

static void retired(struct timer *timer)
{
    service_drained(list_entry(timer, struct keys_role, retirement)->service);
}

/* It goes with the last worker that came before its successor did. At the end of all of them they
 * went first. */
static void keys_drain(struct service *service, int64_t deadline_ms)
{
    struct keys_role *role = service->state;

    (void)deadline_ms;
    keys_side_retire(&role->smtpd);
    keys_side_retire(&role->smtp);
    timer_set(service->loop, &role->retirement, loop_now_ms(service->loop) + RETIRED_MS, retired);
    asker_gone(role);
}

static void keys_status(struct service *service, struct buf *out)
{
    const struct keys_role *role = service->state;

    buf_printf(out,
               "private keys: %zu; used %llu times, failed %llu times; asked for a name: %llu\n",
               tls_keys_count(role->keyring.keys), (unsigned long long)role->counts.used,
               (unsigned long long)role->counts.failed, (unsigned long long)role->counts.chains);
}

static void keys_stop(struct service *service)
{
    struct keys_role *role = service->state;

    timer_clear(service->loop, &role->retirement);
    if (fiber_count(service->loop) > 0) /* look-ups that hang end with the process */
        _exit(0);
    keys_side_clear(&role->smtpd);
    keys_side_clear(&role->smtp);
    keyring_close(&role->keyring);
    memory_free(role);
    service->state = NULL;
}

/* Postfix has no such process; what it says of a service's files it says under that one's name. */
const struct role keys_role = {
    .name = "keys",
    .log_name = "keys",
    .may_ask_table_servers = true,
    .start = keys_start,
    .confine = keys_confine,
    .peer = keys_peer,
    .drain = keys_drain,
    .status = keys_status,
    .stop = keys_stop,
};
