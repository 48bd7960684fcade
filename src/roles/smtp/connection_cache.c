/* SPDX-License-Identifier: Apache-2.0 */
#include "connection_cache.h"

#include "base/memory.h"
#include "dialogue.h"

enum { DESTINATIONS_BEFORE_SWEEP = 1000, DESTINATION_KEPT_MS = 60 * 1000 };

struct destination {
    struct connection_cache *cache;
    struct str nexthop; /* borrows from `key` */
    struct buf key;
    struct list idle;      /* struct session, by_destination; the freshest first */
    size_t active_count;   /* jobs under way */
    int64_t latest_job_ms; /* when the latest job began, and the one before it; 0: none */
    int64_t previous_job_ms;
};

void connection_cache_init(struct connection_cache *cache, struct loop *loop,
                           void (*closed_one)(void *argument), void *argument)
{
    *cache = (struct connection_cache){
        .loop = loop, .destinations = map_new(), .closed_one = closed_one, .argument = argument
    };
    list_init(&cache->closing);
}

static void say_quit(void *argument)
{
    struct session *session = argument;
    struct connection_cache *cache = session->closing_cache;

    dialogue_quit(session);
    session_free(&session);
    cache->closing_count--;
    cache->closed_one(cache->argument);
}

static void drop(struct connection_cache *cache, struct session *session)
{
    session->closing_cache = cache;
    cache->closing_count++;
    list_append(&cache->closing, &session->by_destination);
    session->closing_fiber = fiber_start(cache->loop, "quit", say_quit, session);
}

void connection_cache_hurry(struct connection_cache *cache)
{
    list_each (link, &cache->closing) {
        fiber_cancel(list_entry(link, struct session, by_destination)->closing_fiber);
    }
}

static void take_off(struct session *session)
{
    list_remove(&session->by_destination);
    session->destination->cache->idle_count--;
    session->destination = NULL;
}

/* The idle time is over, or the server closed the connection or says something unasked. */
static void idle_ended(void *argument, bool is_timeout)
{
    struct session *session = argument;
    struct connection_cache *cache = session->destination->cache;

    (void)is_timeout;
    take_off(session);
    drop(cache, session);
}

static void destination_free(struct connection_cache *cache, struct destination *destination)
{
    (void)map_remove(cache->destinations, buf_str(&destination->key));
    buf_free(&destination->key);
    memory_free(destination);
}

static bool destination_is_forgotten(const struct connection_cache *cache,
                                     const struct destination *destination)
{
    return destination->active_count == 0 && list_is_empty(&destination->idle) &&
           loop_now_ms(cache->loop) - destination->latest_job_ms > DESTINATION_KEPT_MS;
}

/* A map must not change under its cursor: one pass for each that goes, few at a time. */
static void sweep(struct connection_cache *cache)
{
    struct map_cursor cursor = { 0 };
    struct destination *forgotten[64];
    size_t count = 0;

    while (count < 64 && map_next(cache->destinations, &cursor)) {
        if (destination_is_forgotten(cache, cursor.value))
            forgotten[count++] = cursor.value;
    }
    while (count > 0)
        destination_free(cache, forgotten[--count]);
}

struct destination *connection_cache_enter(struct connection_cache *cache,
                                           const struct transport *transport, struct str nexthop)
{
    struct buf key = { 0 };
    struct destination *destination;

    buf_append(&key, transport->name);
    buf_append_byte(&key, '\n');
    for (size_t i = 0; i < nexthop.len; i++)
        buf_append_byte(&key, ascii_lower(nexthop.ptr[i]));
    destination = map_find(cache->destinations, buf_str(&key));
    if (destination == NULL) {
        if (map_count(cache->destinations) >= DESTINATIONS_BEFORE_SWEEP)
            sweep(cache);
        destination = memory_new(sizeof *destination);
        destination->cache = cache;
        destination->key = key;
        destination->nexthop = str_skip(buf_str(&key), transport->name.len + 1);
        list_init(&destination->idle);
        (void)map_set(cache->destinations, buf_str(&key), destination);
    } else {
        buf_free(&key);
    }
    destination->active_count++;
    destination->previous_job_ms = destination->latest_job_ms;
    destination->latest_job_ms = loop_now_ms(cache->loop);
    return destination;
}

void connection_cache_leave(struct connection_cache *cache, struct destination *destination)
{
    (void)cache;
    destination->active_count--;
}

static bool is_worn_out(const struct session *session)
{
    const struct config *config = session->transport->config;
    int64_t age_ms = loop_now_ms(session->loop) - session->opened_ms;
    unsigned limit = (unsigned)config->smtp_connection_reuse_count_limit;

    return age_ms >= config->smtp_connection_reuse_time_limit * 1000 ||
           (limit > 0 && session->use_count >= limit);
}

struct session *connection_cache_take(struct connection_cache *cache,
                                      struct destination *destination)
{
    while (!list_is_empty(&destination->idle)) {
        struct session *session =
            list_entry(destination->idle.next, struct session, by_destination);
        stream_unpark(session->stream);
        take_off(session);
        if (!is_worn_out(session))
            return session;
        drop(cache, session);
    }
    return NULL;
}

static bool is_in_demand(const struct connection_cache *cache,
                         const struct destination *destination, const struct config *config)
{
    /* The next mail may be another sender's, who logs in under another name. */
    if (config->smtp_sasl_auth_enable && config->smtp_sender_dependent_authentication)
        return false;
    if (str_list_has(config->smtp_connection_cache_destinations, destination->nexthop))
        return true;
    if (!config->smtp_connection_cache_on_demand)
        return false;
    return destination->active_count > 1 ||
           (destination->previous_job_ms > 0 &&
            loop_now_ms(cache->loop) - destination->previous_job_ms <=
                config->smtp_connection_cache_time_limit * 1000);
}

void connection_cache_give(struct connection_cache *cache, struct destination *destination,
                           struct session *session)
{
    const struct config *config = session->transport->config;

    if (session->phase == PHASE_CLOSED) {
        session_free(&session);
        return;
    }
    if (cache->is_closed || session->must_close || cache->idle_count >= IDLE_CONNECTIONS_MAX ||
        is_worn_out(session) || !is_in_demand(cache, destination, config) ||
        (session->phase != PHASE_READY && !dialogue_reset(session)) || cache->is_closed) {
        drop(cache, session);
        return;
    }
    session->destination = destination;
    list_prepend(&destination->idle, &session->by_destination);
    cache->idle_count++;
    stream_park(session->stream,
                loop_now_ms(cache->loop) + config->smtp_connection_cache_time_limit * 1000,
                idle_ended, session);
}

void connection_cache_close(struct connection_cache *cache)
{
    struct map_cursor cursor = { 0 };

    cache->is_closed = true;
    while (map_next(cache->destinations, &cursor)) {
        struct destination *destination = cursor.value;
        list_each_removable (link, &destination->idle) {
            struct session *session = list_entry(link, struct session, by_destination);
            stream_unpark(session->stream);
            take_off(session);
            drop(cache, session);
        }
    }
}

void connection_cache_clear(struct connection_cache *cache)
{
    struct map_cursor cursor = { 0 };

    while (cache->destinations != NULL && map_next(cache->destinations, &cursor)) {
        struct destination *destination = cursor.value;
        while (!list_is_empty(&destination->idle)) {
            struct session *session =
                list_entry(destination->idle.next, struct session, by_destination);
            stream_unpark(session->stream);
            take_off(session);
            session_free(&session);
        }
        buf_free(&destination->key);
        memory_free(destination);
    }
    if (cache->destinations != NULL)
        map_free(&cache->destinations);
}
