/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery.h"

#include "base/clock.h"
#include "base/memory.h"
#include "connect.h"
#include "dialogue.h"
#include "outgoing_checks.h"
#include "report.h"
#include "worker.h"

/* One destination of the nexthop's list. */
struct site {
    struct delivery *delivery;
    struct destination *destination; /* in the connection cache */
    struct str item, domain;         /* the next hop as written, and its domain alone */
    struct str tried_relay;          /* where a cached connection led; empty: none */
    uint16_t best_preference;
    int address_count, session_count;
};

struct delivery *delivery_new(struct worker *worker, const struct wire_deliver_job *message)
{
    struct delivery *delivery = memory_new(sizeof *delivery);
    struct job *job = &delivery->job;

    delivery->worker = worker;
    delivery->site = SITE_UNTOUCHED;
    if (!job_init(job, &worker->jobs, message)) {
        memory_free(delivery);
        return NULL;
    }
    delivery->open_count = job->envelope.recipient_count;
    delivery->attempts =
        arena_new_array(&job->arena, delivery->open_count + 1, sizeof(struct attempt));
    return delivery;
}

void delivery_free(struct delivery **delivery)
{
    if (*delivery == NULL)
        return;
    job_clear(&(*delivery)->job);
    memory_free(*delivery);
    *delivery = NULL;
}

static bool is_over(const struct delivery *delivery)
{
    return delivery->open_count == 0 || delivery->is_cancelled;
}

/* The destination as such failed; whoever is open gets this unless a server said something about
 * him. */
static void site_failed(struct delivery *delivery, const struct failure *failure)
{
    delivery->failure = failure;
    if (failure_is_soft(failure) && delivery->site != SITE_WORKED)
        delivery->site = SITE_FAILED;
}

/* Mail goes on to the next server: what this one said is not the result, but worth a line. */
static void log_failures(const struct delivery *delivery)
{
    const struct failure *logged = NULL;

    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        const struct attempt *attempt = &delivery->attempts[i];
        if (attempt->progress != PROGRESS_OPEN || attempt->failure == NULL ||
            attempt->failure == logged)
            continue;
        logged = attempt->failure;
        log_info(&delivery->transport->log, "%s: %.*s", delivery->job.queue_id.text,
                 STR_ARGS(logged->text));
    }
}

static void transact(struct site *site, struct session *session)
{
    struct delivery *delivery = site->delivery;
    struct connection_cache *cache = &delivery->worker->cache;

    delivery->job.times.connected_us = clock_wall_us();
    dialogue_transact(session, delivery);
    if (!session->is_stale)
        site->session_count++;
    connection_cache_give(cache, site->destination, session);
}

/* Idle connections first. One that turns out to be over costs the next one, and nothing else. */
static void use_cached(struct site *site)
{
    struct delivery *delivery = site->delivery;
    struct connection_cache *cache = &delivery->worker->cache;
    struct session *session;

    while (!is_over(delivery) && site->session_count == 0 &&
           (session = connection_cache_take(cache, site->destination)) != NULL) {
        delivery->worker->reused_connection_count++;
        site->tried_relay = arena_copy(&delivery->job.arena, session->relay);
        transact(site, session);
    }
    if (site->session_count == 0)
        site->tried_relay = STR("");
}

static void refuse_everybody(struct delivery *delivery, const struct failure *failure,
                             const struct session *session)
{
    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress != PROGRESS_SETTLED)
            report_failed(delivery, i, failure, session);
    }
}

static bool was_tried(const struct site *site, const struct target *target)
{
    autofree_buf struct buf relay = { 0 };

    if (site->tried_relay.len == 0)
        return false;
    target_format(target, &relay);
    return str_equal(buf_str(&relay), site->tried_relay);
}

/* debug_peer_list: by the server's name or address, or by where the mail is for. */
static bool is_traced(const struct site *site, const struct session *session)
{
    struct match_list *peers = session->transport->traced_peers;
    struct error error;

    if (peers == NULL)
        return false;
    return match_list_find_client(peers, session->host, session->address, &error) == MATCH_FOUND ||
           match_list_find_name(peers, site->domain, &error) == MATCH_FOUND;
}

/* Level may: mail that has waited for some time rather goes in clear than not at all. It takes a
 * connection of its own, as Postfix has it. */
static bool may_go_in_clear(const struct delivery *delivery, const struct session *session)
{
    int64_t age_us = clock_wall_us() - delivery->job.envelope.arrival_us;
    int64_t patience_s = delivery->transport->config->minimal_backoff_time;

    return session->has_tls_failed && session->tls_policy->level == TLS_LEVEL_MAY &&
           age_us >= patience_s * 1000 * 1000;
}

/* False: nothing may be sent there. */
static bool find_policy(struct site *site, const struct target *target, struct tls_policy *policy)
{
    struct delivery *delivery = site->delivery;
    struct tls_site about = { site->item, site->domain, target->host, target->path.len > 0,
                              target };
    const struct failure *failure;

    if (tls_policy_find(delivery->transport->tls, delivery, &about, policy, &failure))
        return true;
    site_failed(delivery, failure);
    return false;
}

/* A fresh connection, or why there is none. True: TLS failed, and the same server is to be tried
 * without. */
static bool converse(struct site *site, const struct target *target, struct session *session,
                     const struct failure *failure, const struct tls_policy *policy)
{
    struct delivery *delivery = site->delivery;
    bool is_for_clear = false;

    if (session != NULL) {
        session->is_traced = is_traced(site, session);
        session->is_backup = target->preference > site->best_preference;
        session->tls_policy = policy;
        session->tls_sessions = delivery->worker->tls_sessions;
        bool is_greeted = dialogue_greet(session, delivery, &failure);
        session->must_close |= policy->is_exception;
        is_for_clear = !is_greeted && failure != NULL && may_go_in_clear(delivery, session);
        session->tls_policy = NULL;
        if (is_greeted) {
            transact(site, session);
            return false;
        }
        if (failure != NULL && !failure_is_soft(failure))
            refuse_everybody(delivery, failure, session);
        connection_cache_give(&delivery->worker->cache, site->destination, session);
    }
    if (failure == NULL)
        delivery->is_cancelled = true;
    else
        site_failed(delivery, failure);
    return is_for_clear;
}

static void use_connection(struct site *site, const struct target *target, struct session *session,
                           const struct failure *failure, struct tls_policy *policy)
{
    if (!converse(site, target, session, failure, policy))
        return;
    policy->level = TLS_LEVEL_NONE;
    policy->is_exception = true;
    session = connect_target(site->delivery, target, &failure);
    (void)converse(site, target, session, failure, policy);
}

/* The first one behind `at` that is as good, but of the other address family; 0: none. */
static size_t find_rival(const struct site *site, const struct target_list *targets, size_t at)
{
    const struct target *first = &targets->items[at];
    const struct transport *transport = site->delivery->transport;

    if (transport->prefers_ipv4 || transport->prefers_ipv6 || first->path.len > 0)
        return 0;
    for (size_t i = at + 1; i < targets->count; i++) {
        if (targets->items[i].preference != first->preference)
            return 0;
        if (targets->items[i].address.any.sa_family != first->address.any.sa_family &&
            !was_tried(site, &targets->items[i]))
            return i;
    }
    return 0;
}

/* Two families at once. The winner is taken off the list, the loser stays to be tried; both go
 * where both failed. Returns how many went. */
static size_t use_rivals(struct site *site, struct target_list *targets, size_t at, size_t rival)
{
    const struct target *const rivals[] = { &targets->items[at], &targets->items[rival] };
    const struct failure *failure;
    struct tls_policy policy;
    int winner;
    struct session *session = connect_either(site->delivery, rivals, &winner, &failure);
    struct target first = *rivals[0], second = *rivals[1];

    memmove(&targets->items[at + 2], &targets->items[at + 1],
            (rival - at - 1) * sizeof targets->items[0]);
    targets->items[at] = winner == 0 ? first : second;
    targets->items[at + 1] = winner == 0 ? second : first;
    site->address_count += session != NULL ? 1 : 2;
    size_t count = session != NULL ? 1 : 2;
    if (find_policy(site, &targets->items[at], &policy))
        use_connection(site, &targets->items[at], session, failure, &policy);
    else
        session_free(&session);
    return count;
}

/* The target at `at`, or with it another one: how many of them are done with. */
static size_t use_target(struct site *site, struct target_list *targets, size_t at)
{
    const struct failure *failure = NULL;
    struct tls_policy policy;
    size_t rival = find_rival(site, targets, at);

    if (was_tried(site, &targets->items[at]))
        return 1;
    if (rival > 0)
        return use_rivals(site, targets, at, rival);
    site->address_count++;
    if (!find_policy(site, &targets->items[at], &policy))
        return 1;
    struct session *session = connect_target(site->delivery, &targets->items[at], &failure);
    use_connection(site, &targets->items[at], session, failure, &policy);
    return 1;
}

static void use_targets(struct site *site, struct target_list *targets)
{
    struct delivery *delivery = site->delivery;
    const struct config *config = delivery->transport->config;

    site->best_preference = targets->items[0].preference;
    for (size_t i = 0; i < targets->count && !is_over(delivery);) {
        if ((config->smtp_mx_address_limit > 0 &&
             site->address_count >= config->smtp_mx_address_limit) ||
            (config->smtp_mx_session_limit > 0 &&
             site->session_count >= config->smtp_mx_session_limit))
            return;
        if (site->session_count > 0)
            log_failures(delivery);
        i += use_target(site, targets, i);
    }
}

static void find_and_use_targets(struct site *site, const struct nexthop *nexthop)
{
    struct delivery *delivery = site->delivery;
    const struct failure *failure = NULL;
    struct target_list targets;
    struct target_search search = {
        .arena = &delivery->job.arena,
        .dns = delivery->worker->dns,
        .domains = &delivery->worker->search_domains,
        .own = &delivery->worker->own,
        .transport = delivery->transport,
        .loop = delivery->worker->loop,
    };

    if (target_find(&search, nexthop, &targets, &failure))
        use_targets(site, &targets);
    else if (fiber_is_cancelled(delivery->job.fiber))
        delivery->is_cancelled = true;
    else
        site_failed(delivery, failure);
}

static void try_site(struct delivery *delivery, struct str item)
{
    struct connection_cache *cache = &delivery->worker->cache;
    struct site site = { .delivery = delivery };
    struct nexthop nexthop;
    struct error error;

    if (!(delivery->transport->is_lmtp ? nexthop_parse_lmtp : nexthop_parse)(
            item, delivery->transport->default_port, &nexthop, &error)) {
        site_failed(delivery, failure_new(&delivery->job.arena, "4.3.5", "%s", error.message));
        return;
    }
    site.item = item;
    site.domain = nexthop.host;
    delivery->tried_nexthop = item;
    site.destination = connection_cache_enter(cache, delivery->transport, item);
    use_cached(&site);
    if (!is_over(delivery))
        find_and_use_targets(&site, &nexthop);
    connection_cache_leave(cache, site.destination);
}

/* This relay is where the mail belongs, without having it among its destinations. */
static bool is_looping(const struct delivery *delivery)
{
    return str_equal(delivery->failure->dsn, STR("5.4.6"));
}

/* Mail that loops, or that a domain wants none of, is not helped by another relay. */
static bool may_fall_back(const struct delivery *delivery)
{
    const struct failure *failure = delivery->failure;

    return failure == NULL || (!is_looping(delivery) && !str_equal(failure->dsn, STR("5.1.0")));
}

/* A relay of the administrator's choice that does not exist is a mistake in the configuration, and
 * no reason to bounce mail. */
static void forgive_configuration(struct delivery *delivery, struct str item, const char *parameter,
                                  struct str configured)
{
    if (delivery->failure == NULL || failure_is_soft(delivery->failure) ||
        !str_equal_fold(item, configured))
        return;
    log_warning(&delivery->transport->log, "%s configuration problem", parameter);
    delivery->failure =
        failure_new(&delivery->job.arena, "4.3.5", "%.*s", STR_ARGS(delivery->failure->text));
}

static void try_sites(struct delivery *delivery)
{
    const struct config *config = delivery->transport->config;
    struct str rest = delivery->job.nexthop;
    struct str item;

    while (!is_over(delivery) && nexthop_cut(&rest, &item)) {
        try_site(delivery, item);
        forgive_configuration(delivery, delivery->job.nexthop, "relayhost", config->relayhost);
    }
    rest = config->smtp_fallback_relay;
    while (!is_over(delivery) && may_fall_back(delivery) && nexthop_cut(&rest, &item)) {
        try_site(delivery, item);
        forgive_configuration(delivery, item, "smtp_fallback_relay", item);
    }
}

static void settle_open(struct delivery *delivery)
{
    struct str best_mx = delivery->worker->best_mx_transport;

    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        const struct attempt *attempt = &delivery->attempts[i];
        if (attempt->progress == PROGRESS_SETTLED)
            continue;
        if (delivery->is_cancelled)
            report_undone(delivery, i);
        else if (attempt->failure != NULL)
            report_failed(delivery, i, attempt->failure, NULL);
        else if (is_looping(delivery) && best_mx.len > 0)
            report_passed(delivery, i, best_mx);
        else
            report_failed(delivery, i, delivery->failure, NULL);
    }
}

/* What leaves: as it is, or as smtp_header_checks and smtp_generic_maps want it. */
static bool prepare(struct delivery *delivery)
{
    const struct transport *transport = delivery->transport;
    struct error error = { 0 };

    delivery->sent_sender = delivery->job.envelope.sender;
    delivery->sent_headers = STR("");
    delivery->sent_content = delivery->job.content;
    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++)
        delivery->attempts[i].sent_address = delivery->job.envelope.recipients[i].address;
    if (transport->checks != NULL && !outgoing_checks_apply(transport->checks, delivery)) {
        delivery->failure =
            failure_new(&delivery->job.arena, "4.3.0", "smtp_header_checks: table lookup problem");
        return false;
    }
    if (transport->generic == NULL || generic_map(transport->generic, delivery, &error))
        return true;
    log_warning(&transport->log, "%s: smtp_generic_maps: %s", delivery->job.queue_id.text,
                error.message);
    delivery->failure =
        failure_new(&delivery->job.arena, "4.3.0", "smtp_generic_maps: table lookup problem");
    return false;
}

static void deliver(void *argument)
{
    struct delivery *delivery = argument;
    struct worker *worker = delivery->worker;

    delivery->job.times.agent_us = clock_wall_us();
    if (delivery->transport->refusal.len > 0)
        delivery->failure =
            failure_new(&delivery->job.arena,
                        arena_text(&delivery->job.arena, delivery->transport->refusal_dsn), "%.*s",
                        STR_ARGS(delivery->transport->refusal));
    else if (prepare(delivery))
        try_sites(delivery);
    if (delivery->failure == NULL)
        delivery->failure = failure_new(&delivery->job.arena, "4.3.0",
                                        "server unavailable or unable to receive mail");
    settle_open(delivery);
    report_done(delivery);
    delivery_free(&delivery);
    job_ended(&worker->jobs);
}

void delivery_start(struct delivery *delivery)
{
    delivery->job.fiber = fiber_start(delivery->worker->loop, "delivery", deliver, delivery);
}

void delivery_cancel(struct delivery *delivery)
{
    if (delivery->job.fiber != NULL && !delivery->is_content_under_way)
        fiber_cancel(delivery->job.fiber);
}
