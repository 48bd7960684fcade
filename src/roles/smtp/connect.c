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
        failure_new(&delivery->job.arena, "4.4.1", "connect to %s: %s", buf_text(&server), reason);
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
                       failure_new(&delivery->job.arena, "4.4.0", "server configuration error"));
    return give_up(failure, connect_failure(delivery, target, error.message));
}

/* ---- two at once ---- */

struct race {
    struct delivery *delivery;
    struct fiber *owner;
    struct runner {
        struct race *race;
        const struct target *target;
        struct fiber *fiber; /* NULL: at the end */
        struct session *session;
        const struct failure *failure;
        bool is_second;
    } runners[2];
};

static void runner_ended(struct runner *runner)
{
    struct race *race = runner->race;
    struct runner *other = &race->runners[!runner->is_second];

    runner->fiber = NULL;
    /* The second need not wait for a first that has failed. */
    if (runner->session == NULL && other->fiber != NULL)
        fiber_wake(other->fiber);
    fiber_wake(race->owner);
}

/* True when it is the second one's turn. */
static bool wait_for_head_start(const struct runner *runner)
{
    struct loop *loop = runner->race->delivery->worker->loop;
    int64_t until_ms = loop_now_ms(loop) + CONNECT_HEAD_START_MS;
    enum wake wake = WAKE_READY;

    while (wake == WAKE_READY && runner->race->runners[0].fiber != NULL)
        wake = fiber_wait(loop, "the other address family", until_ms);
    return wake != WAKE_CANCELLED && runner->race->runners[0].session == NULL;
}

static void run(void *argument)
{
    struct runner *runner = argument;

    if (!runner->is_second || wait_for_head_start(runner))
        runner->session = connect_target(runner->race->delivery, runner->target, &runner->failure);
    runner_ended(runner);
}

static bool is_undecided(const struct race *race)
{
    for (int i = 0; i < 2; i++) {
        if (race->runners[i].session != NULL)
            return false;
    }
    return race->runners[0].fiber != NULL || race->runners[1].fiber != NULL;
}

/* Until both have ended: they use the race, which is on our stack. */
static void call_off(struct race *race)
{
    struct loop *loop = race->delivery->worker->loop;

    for (int i = 0; i < 2; i++) {
        if (race->runners[i].fiber != NULL)
            fiber_cancel(race->runners[i].fiber);
    }
    while (race->runners[0].fiber != NULL || race->runners[1].fiber != NULL)
        (void)fiber_yield(loop);
}

struct session *connect_either(struct delivery *delivery, const struct target *const targets[2],
                               int *winner, const struct failure **failure)
{
    struct loop *loop = delivery->worker->loop;
    struct race race = { .delivery = delivery, .owner = fiber_current(loop) };
    enum wake wake = WAKE_READY;

    for (int i = 0; i < 2; i++) {
        struct runner *runner = &race.runners[i];
        *runner = (struct runner){ .race = &race, .target = targets[i], .is_second = i == 1 };
        runner->fiber = fiber_start(loop, "connect", run, runner);
    }
    while (is_undecided(&race) && wake != WAKE_CANCELLED)
        wake = fiber_wait(loop, "a connection", DEADLINE_NEVER); /* each has its own deadline */
    call_off(&race);
    *winner = race.runners[0].session != NULL ? 0 : 1;
    struct session *session = race.runners[*winner].session;
    if (*winner == 0 && race.runners[1].session != NULL)
        session_free(&race.runners[1].session);
    *failure = wake == WAKE_CANCELLED            ? NULL
               : race.runners[1].failure != NULL ? race.runners[1].failure
                                                 : race.runners[0].failure;
    if (session != NULL && wake == WAKE_CANCELLED)
        session_free(&session);
    return session;
}
