/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sasl role: Cyrus SASL for clients that log in (smtpd_sasl_type = cyrus). It is a process of
 * its own because the library wants files, and may wait for saslauthd: it can read the data base of
 * users, with mail_owner's groups, and connect to Unix sockets. Clients reach it through smtpd
 * alone.
 */
#include "library.h"
#include "roles.h"

#include "base/map.h"
#include "base/memory.h"
#include "service/confinement.h"
#include "wire/answerer.h"
#include "wire/wire.h"

#include <time.h>

enum { EXCHANGES_MAX = 5000 }; /* of one worker */

struct sasl_role {
    struct service *service;
    struct sasl_library *library;
    struct answerer peers;
    size_t exchanges; /* of all peers */
};

struct peer {
    struct asking asking;
    struct map *exchanges; /* struct sasl_exchange by the worker's number */
};

static struct sasl_role *role_of(const struct peer *peer)
{
    return peer->asking.answerer->owner;
}

static struct str key_of(const uint64_t *query)
{
    return str_of((const char *)query, sizeof *query);
}

/* One that was replaced goes with its last exchange: no other process could go on with it. */
static void exchange_ended(struct sasl_role *role)
{
    role->exchanges--;
    if (role->exchanges == 0 && role->service->is_draining)
        service_drained(role->service);
}

static void end_exchange(struct peer *peer, uint64_t query)
{
    struct sasl_exchange *exchange = map_remove(peer->exchanges, key_of(&query));

    if (exchange == NULL)
        return;
    sasl_exchange_free(&exchange);
    exchange_ended(role_of(peer));
}

static void send_step(struct peer *peer, uint64_t query, enum cyrus_step step, struct str text,
                      struct str user)
{
    wire_send_sasl_step(peer->asking.channel,
                        &(struct wire_sasl_step){
                            .query = query, .step = (uint8_t)step, .text = text, .user = user });
    if (step != CYRUS_CONTINUES)
        end_exchange(peer, query);
}

static bool on_start(struct peer *peer, struct str payload)
{
    autoclear_arena struct arena scratch = { 0 };
    struct wire_sasl_start message;
    struct error error = { 0 };
    struct str text, user;

    if (!wire_decode_sasl_start(peer->asking.channel, payload, &message) ||
        map_find(peer->exchanges, key_of(&message.query)) != NULL ||
        map_count(peer->exchanges) >= EXCHANGES_MAX)
        return false;
    const struct cyrus_request request = { .service = message.service,
                                           .host = message.host,
                                           .realm = message.realm,
                                           .mechanism = message.mechanism,
                                           .has_initial = message.has_initial != 0,
                                           .initial = message.initial };
    struct sasl_exchange *exchange = sasl_exchange_new(role_of(peer)->library, &request, &error);
    if (exchange == NULL) {
        send_step(peer, message.query, CYRUS_FAILS, str_from(error.message), STR(""));
        return true;
    }
    map_set(peer->exchanges, key_of(&message.query), exchange);
    role_of(peer)->exchanges++;
    enum cyrus_step step = sasl_exchange_start(exchange, &scratch, &request, &text, &user);
    send_step(peer, message.query, step, text, user);
    return true;
}

static bool on_continue(struct peer *peer, struct str payload)
{
    autoclear_arena struct arena scratch = { 0 };
    struct wire_sasl_continue message;
    struct str text, user;

    if (!wire_decode_sasl_continue(peer->asking.channel, payload, &message))
        return false;
    struct sasl_exchange *exchange = map_find(peer->exchanges, key_of(&message.query));
    if (exchange == NULL)
        return false;
    enum cyrus_step step = sasl_exchange_step(exchange, &scratch, message.response, &text, &user);
    send_step(peer, message.query, step, text, user);
    return true;
}

static bool on_list(struct peer *peer, struct str payload)
{
    autofree_buf struct buf names = { 0 };
    struct wire_sasl_list message;

    if (!wire_decode_sasl_list(peer->asking.channel, payload, &message))
        return false;
    sasl_library_mechanisms(role_of(peer)->library, &names);
    wire_send_sasl_mechanisms(
        peer->asking.channel,
        &(struct wire_sasl_mechanisms){ .query = message.query, .names = buf_str(&names) });
    return true;
}

static bool received(struct asking *asking, uint16_t number, struct str payload)
{
    struct peer *peer = list_entry(asking, struct peer, asking);
    struct wire_sasl_end end;

    switch (number) {
    case WIRE_sasl_list:
        return on_list(peer, payload);
    case WIRE_sasl_start:
        return on_start(peer, payload);
    case WIRE_sasl_continue:
        return on_continue(peer, payload);
    case WIRE_sasl_end:
        if (!wire_decode_sasl_end(asking->channel, payload, &end))
            return false;
        end_exchange(peer, end.query);
        return true;
    default:
        return false;
    }
}

static void came(struct asking *asking)
{
    list_entry(asking, struct peer, asking)->exchanges = map_new();
}

static void gone(struct asking *asking)
{
    struct peer *peer = list_entry(asking, struct peer, asking);
    struct map_cursor cursor = { 0 };

    while (map_next(peer->exchanges, &cursor)) {
        struct sasl_exchange *exchange = cursor.value;
        sasl_exchange_free(&exchange);
        exchange_ended(role_of(peer));
    }
    map_free(&peer->exchanges);
}

static const struct answerer_events events = {
    .bytes = sizeof(struct peer), .came = came, .received = received, .gone = gone
};

static bool sasl_start(struct service *service, struct error *error)
{
    struct sasl_role *role = memory_new(sizeof *role);

    tzset(); /* the log shows local time, and its rules are in a file */
    service->state = role;
    role->service = service;
    answerer_init(&role->peers, service->loop, &events, role);
    role->library = sasl_library_new(service->config, &service->log_context, error);
    return role->library != NULL;
}

static bool sasl_confine(struct service *service, struct error *error)
{
    static const char *const none[] = { NULL };
    const struct sasl_role *role = service->state;
    const char *const readable[] = { sasl_library_data_base(role->library), NULL };
    const struct confinement confinement = { .rights = CONFINEMENT_LOCAL,
                                             .spool_folders = none,
                                             .readable_folders = readable,
                                             .keeps_groups = true };

    return confinement_apply(service, &confinement, error);
}

static bool sasl_peer(struct service *service, struct str name, uint32_t worker, int fd,
                      struct error *error)
{
    struct sasl_role *role = service->state;

    (void)name;
    (void)worker;
    return answerer_add(&role->peers, fd, error);
}

static void sasl_drain(struct service *service, int64_t deadline_ms)
{
    const struct sasl_role *role = service->state;

    (void)deadline_ms;
    if (role->exchanges == 0)
        service_drained(service);
}

static void sasl_stop(struct service *service)
{
    struct sasl_role *role = service->state;

    answerer_clear(&role->peers);
    sasl_library_free(&role->library);
    memory_free(role);
    service->state = NULL;
}

/* It speaks as smtpd does in Postfix. */
const struct role sasl_role = {
    .name = "sasl",
    .log_name = "smtpd",
    .start = sasl_start,
    .confine = sasl_confine,
    .peer = sasl_peer,
    .drain = sasl_drain,
    .stop = sasl_stop,
};
