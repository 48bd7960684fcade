/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtpd: mail comes in over SMTP. One worker serves the listeners of every smtpd line in
 * master.cf; it holds accepted connections and its channels to the queue and the resolver.
 */
#include "confine.h"
#include "conversation.h"
#include "roles.h"

#include "base/memory.h"
#include "net/listener.h"
#include "service/anvil.h"

#include <time.h>
#include <unistd.h>

enum {
    /* So long before a drain's deadline the conversations that are still idle are closed. Until
     * then they go on: a reload, which leaves much time, does not disturb them; a stop ends them at
     * once. */
    CLOSE_AHEAD_MS = 60 * 1000,
};

/* A socket that accepts, and what its line of master.cf says. */
struct entrance {
    struct list link;
    struct smtpd *smtpd;
    const struct master_service *line;
    struct policy *policy;
    struct listener *listener;
    int fd; /* until `ready`; then the listener's */
};

struct smtpd {
    struct service *service;
    struct server server;
    struct list entrances;
    struct timer close_idle;
};

/* ---- start ---- */

static bool smtpd_start(struct service *service, struct error *error)
{
    struct smtpd *smtpd = memory_new(sizeof(*smtpd));

    (void)error;
    tzset(); /* Received: shows local time, and its rules are in a file */
    service->state = smtpd;
    smtpd->service = service;
    list_init(&smtpd->entrances);
    list_init(&smtpd->server.conversations);
    smtpd->server.loop = service->loop;
    smtpd->server.submission = submission_new(service->loop);
    smtpd->server.dns = dns_client_new(service->loop);
    smtpd->server.anvil = anvil_client_new(service->loop);
    smtpd->server.cyrus = cyrus_client_new(service->loop);
    smtpd->server.keys = keys_client_new(service->loop);
    smtpd->server.verify = verify_client_new(service->loop);
    return true;
}

static struct policy *policy_for_line(const struct smtpd *smtpd, const struct master_service *line,
                                      struct error *error)
{
    struct service *service = smtpd->service;
    struct config *config = config_new(service->source, line, NULL, NULL, error);

    if (config == NULL)
        return NULL;
    struct policy_options options = {
        .service = service,
        .keys = smtpd->server.keys,
        .config = config,
        .service_name = line->name,
        .log = service_log_context(service, config, "smtpd"),
        .cleanup_log = service_log_context(service, config, "cleanup"),
    };
    return policy_new(&options, error);
}

/* One line may have several sockets, one for each address; they share its policy. */
static struct policy *policy_of_line(const struct smtpd *smtpd, const struct master_service *line)
{
    list_each (link, &smtpd->entrances) {
        struct entrance *entrance = list_entry(link, struct entrance, link);
        if (entrance->line == line)
            return entrance->policy;
    }
    return NULL;
}

static bool smtpd_listener(struct service *service, const struct master_service *line, int fd,
                           struct error *error)
{
    struct smtpd *smtpd = service->state;
    struct policy *policy = policy_of_line(smtpd, line);

    if (policy == NULL)
        policy = policy_for_line(smtpd, line, error);
    if (policy == NULL) {
        close(fd);
        return false;
    }
    struct entrance *entrance = memory_new(sizeof(*entrance));
    entrance->smtpd = smtpd;
    entrance->line = line;
    entrance->policy = policy;
    entrance->fd = fd;
    list_append(&smtpd->entrances, &entrance->link);
    return true;
}

static bool smtpd_peer(struct service *service, struct str role, uint32_t worker, int fd,
                       struct error *error)
{
    struct smtpd *smtpd = service->state;

    if (str_equal(role, STR("queue")))
        return submission_attach(smtpd->server.submission, worker, fd, error);
    if (str_equal(role, STR("resolver")))
        return dns_client_attach(smtpd->server.dns, fd, error);
    if (str_equal(role, STR("anvil")))
        return anvil_client_attach(smtpd->server.anvil, fd, error);
    if (str_equal(role, STR("sasl")))
        return cyrus_client_attach(smtpd->server.cyrus, fd, error);
    if (str_equal(role, STR("keys")))
        return keys_client_attach(smtpd->server.keys, fd, error);
    if (str_equal(role, STR("verify")))
        return verify_client_attach(smtpd->server.verify, fd, error);
    close(fd);
    return true;
}

/* ---- work ---- */

static void accepted(void *argument, int fd, const struct net_address *peer)
{
    struct entrance *entrance = argument;

    conversation_start(&entrance->smtpd->server, entrance->policy, fd, peer);
}

static void smtpd_ready(struct service *service)
{
    struct smtpd *smtpd = service->state;
    struct error error;

    list_each (link, &smtpd->entrances) {
        struct entrance *entrance = list_entry(link, struct entrance, link);
        entrance->listener = listener_new(service->loop, entrance->fd, accepted, entrance, &error);
        entrance->fd = -1;
        if (entrance->listener == NULL)
            log_error(&service->log_context, "listen: %s", error.message);
    }
}

/* ---- the end ---- */

static void drained_if_empty(struct server *server)
{
    struct smtpd *smtpd = server->owner;

    if (smtpd->service->is_draining && server->conversation_count == 0)
        service_drained(smtpd->service);
}

static void close_idle(struct timer *timer)
{
    struct smtpd *smtpd = list_entry(timer, struct smtpd, close_idle);

    smtpd->server.is_closing = true;
    list_each_removable (link, &smtpd->server.conversations)
        conversation_close_if_idle(list_entry(link, struct conversation, link));
}

static void smtpd_drain(struct service *service, int64_t deadline_ms)
{
    struct smtpd *smtpd = service->state;

    smtpd->server.owner = smtpd;
    smtpd->server.emptied = drained_if_empty;
    list_each (link, &smtpd->entrances)
        listener_free(&list_entry(link, struct entrance, link)->listener);
    if (deadline_ms - CLOSE_AHEAD_MS <= loop_now_ms(service->loop))
        close_idle(&smtpd->close_idle);
    else
        timer_set(service->loop, &smtpd->close_idle, deadline_ms - CLOSE_AHEAD_MS, close_idle);
    drained_if_empty(&smtpd->server);
}

static void smtpd_status(struct service *service, struct buf *out)
{
    const struct smtpd *smtpd = service->state;
    const struct server *server = &smtpd->server;

    buf_printf(
        out, "connections %llu (%zu open), messages accepted %llu, recipients refused %llu\n",
        (unsigned long long)server->accepted_count, server->conversation_count,
        (unsigned long long)server->message_count, (unsigned long long)server->refused_count);
}

static void entrance_free(struct entrance *entrance)
{
    struct smtpd *smtpd = entrance->smtpd;
    struct policy *policy = entrance->policy;

    list_remove(&entrance->link);
    listener_free(&entrance->listener);
    if (entrance->fd >= 0)
        close(entrance->fd);
    if (policy_of_line(smtpd, entrance->line) == NULL)
        policy_free(&policy);
    memory_free(entrance);
}

static void smtpd_stop(struct service *service)
{
    struct smtpd *smtpd = service->state;

    timer_clear(service->loop, &smtpd->close_idle);
    /* Conversations that outlived their time end with the process. */
    if (smtpd->server.conversation_count > 0)
        _exit(0);
    while (!list_is_empty(&smtpd->entrances))
        entrance_free(list_entry(smtpd->entrances.next, struct entrance, link));
    submission_free(&smtpd->server.submission);
    dns_client_free(&smtpd->server.dns);
    anvil_client_free(&smtpd->server.anvil);
    cyrus_client_free(&smtpd->server.cyrus);
    keys_client_free(&smtpd->server.keys);
    verify_client_free(&smtpd->server.verify);
    memory_free(smtpd);
    service->state = NULL;
}

const struct role smtpd_role = {
    .name = "smtpd",
    .log_name = "smtpd",
    .may_ask_table_servers = true,
    .start = smtpd_start,
    .confine = smtpd_confine,
    .listener = smtpd_listener,
    .peer = smtpd_peer,
    .ready = smtpd_ready,
    .drain = smtpd_drain,
    .status = smtpd_status,
    .stop = smtpd_stop,
};
