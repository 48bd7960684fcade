/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp: and socketmap: tables. A look-up suspends the fiber that asks, with a deadline; others go
 * on. A server that is away, slow or talks nonsense makes look-ups fail, which is not "no".
 */
#include "base/list.h"
#include "config/config.h"
#include "net/stream.h"
#include "table/table_server.h"
#include "table/table_type.h"

enum {
    LOOKUP_MS_MAX = 100 * 1000,
    IDLE_MAX = 5,            /* connections that are kept open */
    IDLE_MS_MAX = 10 * 1000, /* how long one may have waited to be used again */
    CONNECTIONS_MAX = 20,    /* look-ups at the same time; more wait for their turn */
};

struct idle_connection {
    struct stream *stream;
    int64_t since_ms;
};

struct network_table {
    void *server;   /* of the surroundings */
    struct str map; /* socketmap */
    bool is_socketmap;
    size_t reply_bytes_max;
    struct idle_connection idle[IDLE_MAX];
    size_t idle_count, busy_count;
    struct list waiting; /* struct turn */
};

/* Lives on the stack of a fiber that waits for a connection to become free. */
struct turn {
    struct list link;
    struct fiber *fiber;
    bool is_granted;
};

/* ---- opening ---- */

/* "inet:host:port:name" or "unix:path:name": cuts the name off. */
static bool split_socketmap(const struct table *table, struct str *server, struct str *map,
                            struct error *error)
{
    struct str text = str_from(table->name);
    ptrdiff_t colon = str_find_last_byte(text, ':');
    bool is_local = str_starts_with(text, STR("unix:"));

    *server = str_take(text, colon > 0 ? (size_t)colon : 0);
    *map = colon > 0 ? str_skip(text, (size_t)colon + 1) : STR("");
    if ((!is_local && !str_starts_with(text, STR("inet:"))) || map->len == 0 ||
        server->len < sizeof "unix:")
        return error_set(error,
                         "bad syntax: \"%.*s\"; need \"socketmap:inet:host:port:name\" or "
                         "\"socketmap:unix:pathname:name\"",
                         STR_ARGS(table->specification));
    return true;
}

static size_t reply_bytes_max(const struct config *config, bool is_socketmap)
{
    if (!is_socketmap)
        return TCP_REPLY_BYTES_MAX;
    if (config == NULL)
        return SOCKETMAP_REPLY_BYTES_MAX;
    return config->socketmap_max_reply_size > 0 ? (size_t)config->socketmap_max_reply_size : 0;
}

static bool network_open(struct table *table, bool is_socketmap, struct error *error)
{
    const struct table_surroundings *surroundings = table_surroundings();
    struct network_table *network = arena_new(&table->arena, sizeof *network);
    struct str server;

    list_init(&network->waiting);
    network->is_socketmap = is_socketmap;
    network->reply_bytes_max = reply_bytes_max(surroundings->config, is_socketmap);
    table->state = network;
    if (surroundings->server_name == NULL)
        return error_set(error,
                         "%.*s: tables of this type cannot be used here: it would have to "
                         "wait for another process",
                         STR_ARGS(table->specification));
    if (!is_socketmap)
        server = str_from(arena_printf(&table->arena, "inet:%s", table->name));
    else if (!split_socketmap(table, &server, &network->map, error))
        return false;
    network->server = surroundings->server_name(surroundings->argument, server, error);
    return network->server != NULL;
}

static bool tcp_open(struct table *table, struct error *error)
{
    return network_open(table, false, error);
}

static bool socketmap_open(struct table *table, struct error *error)
{
    return network_open(table, true, error);
}

static void network_close(struct table *table)
{
    struct network_table *network = table->state;

    for (size_t i = 0; network != NULL && i < network->idle_count; i++)
        stream_free(&network->idle[i].stream);
}

/* ---- connections ---- */

static bool take_turn(struct network_table *network, struct loop *loop, int64_t deadline_ms,
                      struct error *error)
{
    struct turn turn = { .fiber = fiber_current(loop) };
    enum wake wake = WAKE_READY;

    if (network->busy_count < CONNECTIONS_MAX) {
        network->busy_count++;
        return true;
    }
    list_append(&network->waiting, &turn.link);
    while (!turn.is_granted && wake == WAKE_READY)
        wake = fiber_wait(loop, "its turn at a table server", deadline_ms);
    if (turn.is_granted)
        return true;
    list_remove(&turn.link);
    return error_set(error, "all connections to the server are in use");
}

/* Hands the turn on to who waits longest. */
static void end_turn(struct network_table *network)
{
    if (list_is_empty(&network->waiting)) {
        network->busy_count--;
        return;
    }
    struct turn *turn = list_entry(network->waiting.next, struct turn, link);
    list_remove(&turn->link);
    turn->is_granted = true;
    fiber_wake(turn->fiber);
}

/* One that is open still, or NULL. */
static struct stream *take_idle(struct network_table *network, const struct loop *loop)
{
    while (network->idle_count > 0) {
        struct idle_connection *last = &network->idle[--network->idle_count];
        if (loop_now_ms(loop) - last->since_ms < IDLE_MS_MAX)
            return last->stream;
        stream_free(&last->stream);
    }
    return NULL;
}

static void give_back(struct network_table *network, const struct loop *loop,
                      struct stream **stream)
{
    if (network->idle_count == IDLE_MAX || stream_pending(*stream).len > 0) {
        stream_free(stream);
        return;
    }
    stream_shrink(*stream);
    network->idle[network->idle_count++] = (struct idle_connection){ *stream, loop_now_ms(loop) };
    *stream = NULL;
}

/* ---- look-ups ---- */

struct question {
    struct network_table *network;
    struct str request;
    struct arena *arena;
    int64_t deadline_ms;
    bool is_lost; /* the connection ended before any of the reply came */
};

static enum server_reply read_reply(struct question *question, struct stream *stream,
                                    struct str *value, struct error *error)
{
    enum server_reply reply = SERVER_REPLY_INCOMPLETE;

    while (reply == SERVER_REPLY_INCOMPLETE) {
        struct str bytes;
        size_t used = 0;
        enum stream_outcome outcome = stream_read_some(stream, question->deadline_ms, &bytes);
        if (outcome != STREAM_OK) {
            question->is_lost = outcome != STREAM_TIMEOUT && stream_pending(stream).len == 0;
            error_set(error, "%s", stream_outcome_text(outcome));
            return SERVER_REPLY_BAD;
        }
        size_t most = question->network->reply_bytes_max;
        reply = question->network->is_socketmap
                    ? socketmap_reply_parse(question->arena, bytes, most, &used, value, error)
                    : tcp_reply_parse(question->arena, bytes, most, &used, value, error);
        stream_consume(stream, used);
    }
    return reply;
}

static enum server_reply ask_over(struct question *question, struct stream *stream,
                                  struct str *value, struct error *error)
{
    enum stream_outcome outcome = stream_write(stream, question->request, question->deadline_ms);

    if (outcome == STREAM_OK)
        outcome = stream_flush(stream, question->deadline_ms);
    if (outcome == STREAM_OK)
        return read_reply(question, stream, value, error);
    question->is_lost = outcome != STREAM_TIMEOUT;
    error_set(error, "%s", stream_outcome_text(outcome));
    return SERVER_REPLY_BAD;
}

static enum server_reply ask_anew(struct question *question, struct stream **stream,
                                  struct str *value, struct error *error)
{
    enum stream_outcome outcome = table_surroundings()->server_connect(
        question->network->server, question->deadline_ms, stream, error);

    return outcome == STREAM_OK ? ask_over(question, *stream, value, error) : SERVER_REPLY_BAD;
}

/* A connection that the server closed while it was idle is replaced once, without a word. */
static enum server_reply ask(struct question *question, struct loop *loop, struct str *value,
                             struct error *error)
{
    struct network_table *network = question->network;
    struct stream *stream = take_idle(network, loop);
    enum server_reply reply;

    if (stream == NULL) {
        reply = ask_anew(question, &stream, value, error);
    } else {
        reply = ask_over(question, stream, value, error);
        if (reply == SERVER_REPLY_BAD && question->is_lost) {
            stream_free(&stream);
            reply = ask_anew(question, &stream, value, error);
        }
    }
    if (reply == SERVER_REPLY_BAD)
        stream_free(&stream);
    else
        give_back(network, loop, &stream);
    return reply;
}

static enum lookup_outcome network_find(struct table *table, struct str key, struct arena *arena,
                                        struct str *value, struct error *error)
{
    struct network_table *network = table->state;
    struct loop *loop = table_surroundings()->loop;
    autofree_buf struct buf request = { 0 };
    enum server_reply reply = SERVER_REPLY_BAD;

    if (loop == NULL || fiber_current(loop) == NULL) {
        error_set(error, "%.*s: a look-up here would have to wait for the server",
                  STR_ARGS(table->specification));
        return LOOKUP_FAILED;
    }
    bool can_ask = network->is_socketmap
                       ? socketmap_request_format(&request, network->map, key, error)
                       : tcp_request_format(&request, key, error);
    struct question question = { .network = network,
                                 .request = buf_str(&request),
                                 .arena = arena,
                                 .deadline_ms = loop_now_ms(loop) + LOOKUP_MS_MAX };
    if (can_ask && take_turn(network, loop, question.deadline_ms, error)) {
        reply = ask(&question, loop, value, error);
        end_turn(network);
    }
    if (reply == SERVER_REPLY_FOUND)
        return LOOKUP_FOUND;
    if (reply == SERVER_REPLY_ABSENT)
        return LOOKUP_ABSENT;
    error_context(error, "%.*s", STR_ARGS(table->specification));
    return LOOKUP_FAILED;
}

const struct table_type table_type_tcp = {
    .name = "tcp",
    .is_pattern = true,
    .open = tcp_open,
    .find = network_find,
    .close = network_close,
};

const struct table_type table_type_socketmap = {
    .name = "socketmap",
    .is_pattern = true,
    .open = socketmap_open,
    .find = network_find,
    .close = network_close,
};
