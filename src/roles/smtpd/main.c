/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtpd: mail comes in over SMTP. One worker serves the listeners of every smtpd line in
 * master.cf; it holds accepted connections and its channels to the queue and the resolver.
 */
#include "confine.h"
#include "conversation.h"
#include "line.h"
#include "roles.h"

#include "base/memory.h"
#include "service/anvil.h"

#include <time.h>
#include <unistd.h>

enum {
    /* So long before a drain's deadline the conversations that are still idle are closed. Until
     * then they go on: a reload, which leaves much time, does not disturb them; a stop ends them at
     * once. */
    CLOSE_AHEAD_MS = 60 * 1000,
};

struct smtpd {
    struct service *service;
    struct server server;
    struct line **lines; /* of master.cf */
    size_t line_count;
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

static bool smtpd_places(struct service *service, const struct master_service *master_line,
                         const struct wire_control_places *places, struct error *error)
{
    struct smtpd *smtpd = service->state;
    struct line *line = line_new(service, &smtpd->server, master_line, places, error);

    if (line == NULL)
        return false;
    smtpd->lines = memory_resize(smtpd->lines, (smtpd->line_count + 1) * sizeof(struct line *));
    smtpd->lines[smtpd->line_count++] = line;
    return true;
}

/* One line may have several sockets, one for each address. */
static bool smtpd_listener(struct service *service, const struct master_service *master_line,
                           int fd, struct error *error)
{
    struct smtpd *smtpd = service->state;

    for (size_t i = 0; i < smtpd->line_count; i++)
        if (line_is_of(smtpd->lines[i], master_line)) {
            line_add_socket(smtpd->lines[i], fd);
            return true;
        }
    close(fd);
    return error_set(error, "a listening socket without a service");
}

static void smtpd_place_free(struct service *service, uint32_t number)
{
    struct smtpd *smtpd = service->state;

    for (size_t i = 0; i < smtpd->line_count; i++)
        if (line_has_number(smtpd->lines[i], number))
            line_go_on(smtpd->lines[i]);
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

static void smtpd_ready(struct service *service)
{
    struct smtpd *smtpd = service->state;

    for (size_t i = 0; i < smtpd->line_count; i++)
        line_accept(smtpd->lines[i]);
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
    for (size_t i = 0; i < smtpd->line_count; i++)
        line_stop_accepting(smtpd->lines[i]);
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
    for (size_t i = 0; i < smtpd->line_count; i++)
        line_format_status(smtpd->lines[i], out);
}

static void smtpd_stop(struct service *service)
{
    struct smtpd *smtpd = service->state;

    timer_clear(service->loop, &smtpd->close_idle);
    /* Conversations that outlived their time end with the process. */
    if (smtpd->server.conversation_count > 0)
        _exit(0);
    for (size_t i = 0; i < smtpd->line_count; i++)
        line_free(&smtpd->lines[i]);
    memory_free(smtpd->lines);
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
    .places = smtpd_places,
    .place_free = smtpd_place_free,
    .listener = smtpd_listener,
    .peer = smtpd_peer,
    .ready = smtpd_ready,
    .drain = smtpd_drain,
    .status = smtpd_status,
    .stop = smtpd_stop,
};
