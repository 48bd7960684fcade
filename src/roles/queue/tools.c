/* SPDX-License-Identifier: Apache-2.0 */
#include "tools.h"

#include "base/file.h"
#include "base/memory.h"
#include "tool_client.h"

#include <sysexits.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 200,
    REQUEST_BYTES_MAX = 64 * 1024,
    CLIENT_WAIT_MS = 5 * 60 * 1000, /* a client that does not read for so long is dropped */
    FIRST_REQUEST = 501,            /* wire/tools.def, "to queue" */
    LAST_REQUEST = 509,
};

/* ---- answers ---- */

void tool_client_done(struct tool_client *client, uint32_t status,
                      const struct queue_tool_counts *counts, struct str reason)
{
    wire_send_tool_done(client->channel, &(struct wire_tool_done){ .status = status,
                                                                   .count = counts->done,
                                                                   .released = counts->released,
                                                                   .reason = reason });
}

bool tool_client_has_room(struct tool_client *client)
{
    int64_t deadline_ms = loop_now_ms(client->queue->loop) + CLIENT_WAIT_MS;

    return channel_wait_room(client->channel, deadline_ms) == WAKE_READY &&
           !channel_is_closed(client->channel) && !client->queue->tools.is_draining;
}

/* ---- a request ---- */

static const struct queue_tool_counts none;

static void refuse(struct tool_client *client, uint32_t status, const char *reason)
{
    tool_client_done(client, status, &none, str_from(reason));
}

/* A reload may come while the name is looked up: the settings are not kept over it. */
static bool has_right(struct tool_client *client, enum user_right right)
{
    struct queue *queue = client->queue;
    autofree_buf struct buf name = { 0 };
    struct error error = { 0 };

    if (user_access_is_given(queue->settings->rights[right], client->uid))
        return true;
    if (queue->options.user_name(queue->options.argument, client->uid, &name, &error) &&
        user_access_check(queue->settings->rights[right], client->uid, buf_str(&name), &error) ==
            USER_ALLOWED)
        return true;
    refuse(client, EX_UNAVAILABLE, error.message);
    return false;
}

/* False: it was told. */
static bool is_allowed(struct tool_client *client)
{
    if (client->verb == WIRE_tool_list || client->verb == WIRE_tool_status)
        return has_right(client, USER_RIGHT_VIEW);
    if (client->verb == WIRE_tool_flush)
        return has_right(client, USER_RIGHT_FLUSH);
    if (client->uid == 0 || client->uid == client->queue->options.owner_uid)
        return true;
    refuse(client, EX_NOPERM, "use of this command is reserved for the superuser");
    return false;
}

/* False: the message is none of ours. */
static bool answer(struct tool_client *client)
{
    struct channel *channel = client->channel;
    struct wire_tool_list list;
    struct wire_tool_show show;
    struct wire_tool_change change;
    struct wire_tool_flush flush;
    struct wire_tool_status status;

    switch (client->verb) {
    case WIRE_tool_list:
        if (!wire_decode_tool_list(channel, client->payload, &list))
            return false;
        tool_do_list(client, &list);
        return true;
    case WIRE_tool_show:
        if (!wire_decode_tool_show(channel, client->payload, &show))
            return false;
        tool_do_show(client, &show);
        return true;
    case WIRE_tool_change:
        if (!wire_decode_tool_change(channel, client->payload, &change))
            return false;
        tool_do_change(client, &change);
        return true;
    case WIRE_tool_flush:
        if (!wire_decode_tool_flush(channel, client->payload, &flush))
            return false;
        tool_do_flush(client, &flush);
        return true;
    case WIRE_tool_status:
        if (!wire_decode_tool_status(channel, client->payload, &status))
            return false;
        tool_do_status(client, &status);
        return true;
    default:
        return false;
    }
}

static void run_request(struct tool_client *client)
{
    if (is_allowed(client) && !answer(client))
        refuse(client, EX_PROTOCOL, "malformed request");
}

static void client_free(struct tool_client *client)
{
    client->queue->tools.client_count--;
    list_remove(&client->link);
    channel_free(&client->channel);
    arena_clear(&client->request);
    memory_free(client);
}

static void request_fiber(void *argument)
{
    struct tool_client *client = argument;
    struct tools *tools = &client->queue->tools;

    client->fiber = fiber_current(client->queue->loop);
    if (!tools->is_draining)
        run_request(client);
    client->fiber = NULL;
    arena_clear(&client->request);
    tools->running--;
    if (channel_is_closed(client->channel) || tools->is_draining)
        client_free(client);
    else
        channel_resume(client->channel);
}

static bool client_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct tool_client *client = owner;

    if (number < FIRST_REQUEST || number > LAST_REQUEST || payload.len > REQUEST_BYTES_MAX)
        return false;
    client->verb = number;
    client->payload = arena_copy(&client->request, payload);
    channel_pause(channel);
    client->queue->tools.running++;
    fiber_start(client->queue->loop, "queue tool", request_fiber, client);
    return true;
}

static void client_closed(void *owner, struct channel *channel, const char *reason)
{
    struct tool_client *client = owner;

    (void)channel, (void)reason;
    if (client->fiber == NULL)
        client_free(client);
    /* Otherwise the fiber finds the channel closed. */
}

static const struct channel_events client_events = { client_received, client_closed };

void tools_accept(struct queue *queue, int fd)
{
    autoclose int owned = fd;
    struct ucred credentials;
    socklen_t len = sizeof credentials;
    struct error error = { 0 };

    if (queue->tools.is_draining || queue->tools.client_count >= CLIENTS_MAX ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
        return;
    struct tool_client *client = memory_new(sizeof *client);
    client->queue = queue;
    client->uid = credentials.uid;
    list_init(&client->link);
    client->channel = channel_new(queue->loop, fd_take(&owned), &client_events, client, &error);
    if (client->channel == NULL) {
        memory_free(client);
        return;
    }
    list_append(&queue->tools.clients, &client->link);
    queue->tools.client_count++;
}

static void accepted(void *argument, int fd, const struct net_address *peer)
{
    (void)peer;
    tools_accept(argument, fd);
}

bool tools_listen(struct queue *queue, int fd, struct error *error)
{
    struct tools *tools = &queue->tools;

    if (tools->listener_count == TOOL_LISTENERS_MAX) {
        close(fd);
        return error_set(error, "the queue has too many listening sockets");
    }
    struct listener *listener = listener_new(queue->loop, fd, accepted, queue, error);
    if (listener == NULL)
        return false;
    tools->listeners[tools->listener_count++] = listener;
    return true;
}

void tools_drain(struct queue *queue)
{
    struct tools *tools = &queue->tools;

    tools->is_draining = true;
    for (size_t i = 0; i < tools->listener_count; i++)
        listener_free(&tools->listeners[i]);
    tools->listener_count = 0;
    list_each (link, &tools->clients) {
        struct tool_client *client = list_entry(link, struct tool_client, link);
        if (client->fiber != NULL)
            fiber_cancel(client->fiber);
    }
}

void tools_init(struct queue *queue)
{
    list_init(&queue->tools.clients);
    queue->tools.changing = map_new();
}

void tools_clear(struct queue *queue)
{
    struct tools *tools = &queue->tools;

    for (size_t i = 0; i < tools->listener_count; i++)
        listener_free(&tools->listeners[i]);
    list_each_removable (link, &tools->clients)
        client_free(list_entry(link, struct tool_client, link));
    map_free(&tools->changing);
}
