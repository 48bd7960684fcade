/* SPDX-License-Identifier: Apache-2.0 */
#include "connect.h"

#include "base/clock.h"
#include "worker.h"

#include <errno.h>

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

static const struct failure *connect_failure(struct delivery *delivery, const struct target *target,
                                             const char *reason)
{
    autofree_buf struct buf address = { 0 };
    const struct failure *failure;

    net_address_format(&target->address, &address);
    failure =
        failure_new(&delivery->arena, "4.4.1", "connect to %.*s[%s]:%u: %s", STR_ARGS(target->host),
                    buf_text(&address), (unsigned)net_address_port(&target->address), reason);
    log_write_text(&delivery->transport->log, SEVERITY_INFO, failure->text);
    return failure;
}

/* Postfix goes on with an address of the kernel's choice, unless it was told not to. */
static void warn_unbound(const struct delivery *delivery, const struct net_address *from)
{
    autofree_buf struct buf address = { 0 };

    net_address_format(from, &address);
    log_warning(&delivery->transport->log,
                "cannot send from %s, which is no address of this machine; correct "
                "smtp_bind_address or inet_interfaces",
                buf_text(&address));
}

struct session *connect_target(struct delivery *delivery, const struct target *target,
                               const struct failure **failure)
{
    struct worker *worker = delivery->worker;
    const struct net_address *from = bind_address(delivery, target->address.any.sa_family);
    int64_t timeout_s = delivery->transport->config->smtp_connect_timeout;
    int64_t deadline_ms =
        timeout_s > 0 ? loop_now_ms(worker->loop) + timeout_s * 1000 : DEADLINE_NEVER;
    enum stream_outcome outcome;
    struct stream *stream = NULL;
    struct error error = { 0 };

    *failure = NULL;
    outcome = stream_connect(worker->loop, &target->address.any, target->address.len,
                             from != NULL ? &from->any : NULL, deadline_ms, &stream, &error);
    if (outcome == STREAM_FAILED && error.system_errno == EADDRNOTAVAIL && from != NULL &&
        !delivery->transport->config->smtp_bind_address_enforce) {
        warn_unbound(delivery, from);
        outcome = stream_connect(worker->loop, &target->address.any, target->address.len, NULL,
                                 deadline_ms, &stream, &error);
    }
    switch (outcome) {
    case STREAM_OK:
        worker->opened_connection_count++;
        return session_new(worker->loop, stream, delivery->transport, target);
    case STREAM_CANCELLED:
        return NULL;
    case STREAM_TIMEOUT:
        *failure = connect_failure(delivery, target, "Connection timed out");
        return NULL;
    case STREAM_CLOSED:
    case STREAM_TOO_LONG:
    case STREAM_FAILED:
        break;
    }
    *failure = connect_failure(delivery, target, error.message);
    return NULL;
}
