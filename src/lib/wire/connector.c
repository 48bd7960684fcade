/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/connector.h"

#include "base/arena.h"
#include "base/ensure.h"
#include "base/file.h"
#include "base/list.h"
#include "base/memory.h"
#include "wire/wire.h"

#include <errno.h>
#include <string.h>

/* Lives on the stack of the fiber that asks; the fiber takes it off the list before it leaves. */
struct request {
    struct list link;
    uint32_t token;
    struct fiber *fiber;
    bool is_answered;
    int fd;   /* -1 where the master could not begin */
    int code; /* errno then */
};

struct connector {
    struct loop *loop;
    struct channel *control;
    struct list requests;
    struct arena arena;
    struct str names[CONNECTOR_NAMES_MAX]; /* the bytes of addresses */
    uint32_t named_count;
    uint32_t last_token;
};

struct connector *connector_new(struct loop *loop, struct channel *control)
{
    struct connector *connector = memory_new(sizeof *connector);

    connector->loop = loop;
    connector->control = control;
    list_init(&connector->requests);
    return connector;
}

void connector_free(struct connector **connector)
{
    if (*connector == NULL)
        return;
    ensure(list_is_empty(&(*connector)->requests));
    arena_clear(&(*connector)->arena);
    memory_free(*connector);
    *connector = NULL;
}

bool connector_name(struct connector *connector, const struct sockaddr *address, socklen_t len,
                    uint32_t *number)
{
    struct wire_control_endpoint message = { .address = str_of((const char *)address, len) };

    for (*number = 0; *number < connector->named_count; ++*number)
        if (str_equal(connector->names[*number], message.address))
            return true;
    if (*number == CONNECTOR_NAMES_MAX)
        return false;
    wire_send_control_endpoint(connector->control, &message);
    connector->names[connector->named_count++] = arena_copy(&connector->arena, message.address);
    return true;
}

static struct request *find_request(const struct connector *connector, uint32_t token)
{
    list_each (link, &connector->requests) {
        struct request *request = list_entry(link, struct request, link);
        if (request->token == token && !request->is_answered)
            return request;
    }
    return NULL;
}

/* Nobody waits any more: the socket is closed. */
static void answer(const struct connector *connector, uint32_t token, int socket_fd, int code)
{
    struct request *request = find_request(connector, token);
    autoclose int fd = socket_fd;

    if (request == NULL)
        return;
    request->is_answered = true;
    request->fd = fd_take(&fd);
    request->code = code;
    fiber_wake(request->fiber);
}

bool connector_connected(struct connector *connector, struct str payload)
{
    struct wire_control_connected message;

    if (!wire_decode_control_connected(connector->control, payload, &message))
        return false;
    answer(connector, message.token, message.socket, 0);
    return true;
}

bool connector_not_connected(struct connector *connector, struct str payload)
{
    struct wire_control_not_connected message;

    if (!wire_decode_control_not_connected(connector->control, payload, &message))
        return false;
    answer(connector, message.token, -1, (int)message.code);
    return true;
}

static enum stream_outcome refused(struct error *error, enum stream_outcome outcome, int code)
{
    error_set(error, "%s", strerror(code));
    error->system_errno = code;
    return outcome;
}

static void begin(struct connector *connector, struct request *request)
{
    *request = (struct request){ .token = ++connector->last_token,
                                 .fiber = fiber_current(connector->loop),
                                 .fd = -1 };
    list_append(&connector->requests, &request->link);
}

/* What was asked for by the request's token. */
static enum stream_outcome await(struct connector *connector, struct request *request,
                                 int64_t deadline_ms, struct stream **stream, struct error *error)
{
    enum wake wake = WAKE_READY;

    while (!request->is_answered && wake == WAKE_READY)
        wake = fiber_wait(connector->loop, "a connection from the master", deadline_ms);
    list_remove(&request->link);
    if (!request->is_answered)
        return wake == WAKE_TIMEOUT ? refused(error, STREAM_TIMEOUT, ETIMEDOUT)
                                    : refused(error, STREAM_CANCELLED, ECANCELED);
    if (request->fd < 0)
        return refused(error, STREAM_FAILED, request->code);
    return stream_await_connect(connector->loop, request->fd, deadline_ms, stream, error);
}

enum stream_outcome connector_connect(struct connector *connector, uint32_t endpoint,
                                      int64_t deadline_ms, struct stream **stream,
                                      struct error *error)
{
    struct request request;

    begin(connector, &request);
    wire_send_control_connect(
        connector->control,
        &(struct wire_control_connect){ .token = request.token, .endpoint = endpoint });
    return await(connector, &request, deadline_ms, stream, error);
}

static enum stream_outcome read_all(struct stream *stream, int64_t deadline_ms, struct buf *out)
{
    enum stream_outcome outcome;
    struct str bytes;

    while ((outcome = stream_read_some(stream, deadline_ms, &bytes)) == STREAM_OK) {
        buf_append(out, bytes);
        stream_consume(stream, bytes.len);
    }
    return outcome;
}

bool connector_ask_user(struct connector *connector, uint32_t uid, int64_t deadline_ms,
                        struct buf *name, struct error *error)
{
    struct stream *stream = NULL;
    struct request request;

    begin(connector, &request);
    wire_send_control_ask_user(
        connector->control, &(struct wire_control_ask_user){ .token = request.token, .uid = uid });
    enum stream_outcome outcome = await(connector, &request, deadline_ms, &stream, error);
    if (outcome != STREAM_OK)
        return error_context(error, "look up user id %u", (unsigned)uid);
    buf_clear(name);
    outcome = read_all(stream, deadline_ms, name);
    stream_free(&stream);
    if (outcome == STREAM_CLOSED && str_ends_with(buf_str(name), str_of("", 1))) {
        buf_truncate(name, name->len - 1);
        return true;
    }
    return error_set(error, "look up user id %u: %s", (unsigned)uid,
                     outcome == STREAM_CLOSED ? "no answer" : stream_outcome_text(outcome));
}
