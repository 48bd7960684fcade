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

enum stream_outcome connector_connect(struct connector *connector, uint32_t endpoint,
                                      int64_t deadline_ms, struct stream **stream,
                                      struct error *error)
{
    struct request request = { .token = ++connector->last_token,
                               .fiber = fiber_current(connector->loop),
                               .fd = -1 };
    struct wire_control_connect message = { .token = request.token, .endpoint = endpoint };
    enum wake wake = WAKE_READY;

    list_append(&connector->requests, &request.link);
    wire_send_control_connect(connector->control, &message);
    while (!request.is_answered && wake == WAKE_READY)
        wake = fiber_wait(connector->loop, "a connection from the master", deadline_ms);
    list_remove(&request.link);
    if (!request.is_answered)
        return wake == WAKE_TIMEOUT ? refused(error, STREAM_TIMEOUT, ETIMEDOUT)
                                    : refused(error, STREAM_CANCELLED, ECANCELED);
    if (request.fd < 0)
        return refused(error, STREAM_FAILED, request.code);
    return stream_await_connect(connector->loop, request.fd, deadline_ms, stream, error);
}
