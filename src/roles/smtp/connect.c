/* SPDX-License-Identifier: Apache-2.0 */
#include "connect.h"

#include "base/clock.h"
#include "worker.h"

#include <errno.h>

enum { CONNECT_MISCONFIGURED = -1 }; /* in place of an errno: said already */

/* smtp_bind_address, or the one address that this relay is to be seen with. */
static const struct net_address *bind_address(const struct delivery *delivery, int family)
{
    const struct transport *transport = delivery->transport;

    if (family == AF_INET && transport->has_bind4)
        return &transport->bind4;
    if (family == AF_INET6 && transport->has_bind6)
        return &transport->bind6;
    return own_host_single_address(&delivery->worker->own, family);
}

/* Postfix says it of hosts at once, of local sockets only in the end. */
static const struct failure *connect_failure(struct delivery *delivery, const struct target *target,
                                             const char *reason)
{
    autofree_buf struct buf server = { 0 };
    const struct failure *failure;

    target_format(target, &server);
    failure =
        failure_new(&delivery->arena, "4.4.1", "connect to %s: %s", buf_text(&server), reason);
    if (target->path.len == 0)
        log_write_text(&delivery->transport->log, SEVERITY_INFO, failure->text);
    return failure;
}

/* The address to send from is no address of this machine: go on from any other, or not? */
static bool may_go_unbound(const struct delivery *delivery, const struct net_address *from)
{
    const struct transport *transport = delivery->transport;
    bool is_configured = from == &transport->bind4 || from == &transport->bind6;
    bool must_wait = is_configured && transport->must_bind;
    autofree_buf struct buf address = { 0 };

    net_address_format(from, &address);
    log_warning(&transport->log,
                "transport %.*s: cannot send from %s, which is no address of this machine (%s); "
                "correct %s",
                STR_ARGS(transport->name), buf_text(&address),
                must_wait ? "its mail waits" : "going on from another one",
                is_configured ? "smtp_bind_address" : "inet_interfaces");
    return !must_wait;
}

static struct session *give_up(const struct failure **slot, const struct failure *failure)
{
    *slot = failure;
    return NULL;
}

static enum stream_outcome connect_network(struct delivery *delivery, const struct target *target,
                                           int64_t deadline_ms, struct stream **stream,
                                           struct error *error)
{
    struct loop *loop = delivery->worker->loop;
    const struct net_address *from = bind_address(delivery, target->address.any.sa_family);
    enum stream_outcome outcome =
        stream_connect(loop, &target->address.any, target->address.len,
                       from != NULL ? &from->any : NULL, deadline_ms, stream, error);

    if (outcome != STREAM_FAILED || error->system_errno != EADDRNOTAVAIL || from == NULL)
        return outcome;
    error->system_errno = CONNECT_MISCONFIGURED;
    if (!may_go_unbound(delivery, from))
        return STREAM_FAILED;
    return stream_connect(loop, &target->address.any, target->address.len, NULL, deadline_ms,
                          stream, error);
}

static enum stream_outcome connect_local(struct delivery *delivery, const struct target *target,
                                         int64_t deadline_ms, struct stream **stream,
                                         struct error *error)
{
    const struct local_servers *servers = delivery->worker->local_servers;
    struct endpoint *endpoint = servers != NULL ? local_servers_find(servers, target->path) : NULL;

    if (endpoint != NULL)
        return endpoint_connect(endpoint, deadline_ms, stream, error);
    (void)error_set(error, "not named in the configuration at start; \"postfix reload\" lets "
                           "mail go there");
    return STREAM_FAILED;
}

struct session *connect_target(struct delivery *delivery, const struct target *target,
                               const struct failure **failure)
{
    struct worker *worker = delivery->worker;
    int64_t timeout_s = delivery->transport->config->smtp_connect_timeout;
    int64_t deadline_ms =
        timeout_s > 0 ? loop_now_ms(worker->loop) + timeout_s * 1000 : DEADLINE_NEVER;
    struct stream *stream = NULL;
    struct error error = { 0 };
    enum stream_outcome outcome = (target->path.len > 0 ? connect_local : connect_network)(
        delivery, target, deadline_ms, &stream, &error);

    switch (outcome) {
    case STREAM_OK:
        worker->opened_connection_count++;
        return session_new(worker->loop, stream, delivery->transport, target);
    case STREAM_CANCELLED:
        return give_up(failure, NULL);
    case STREAM_TIMEOUT:
        return give_up(failure, connect_failure(delivery, target, "Connection timed out"));
    case STREAM_CLOSED:
    case STREAM_TOO_LONG:
    case STREAM_FAILED:
        break;
    }
    if (error.system_errno == CONNECT_MISCONFIGURED)
        return give_up(failure,
                       failure_new(&delivery->arena, "4.4.0", "server configuration error"));
    return give_up(failure, connect_failure(delivery, target, error.message));
}
