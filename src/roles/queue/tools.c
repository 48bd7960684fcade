/* SPDX-License-Identifier: Apache-2.0 */
#include "tools.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "mail/log_line.h"
#include "queue.h"
#include "store/queue_tool.h"
#include "wire/wire.h"

#include <sysexits.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 200,
    REQUEST_BYTES_MAX = 4096,
    PORTION = 64,                   /* messages between two turns of the rest of the loop */
    CLIENT_WAIT_MS = 5 * 60 * 1000, /* a client that does not read for so long is dropped */
    BUSY_WAIT_MS = 5,
    BUSY_TRIES = 1000,
};

struct client {
    struct queue *queue;
    struct list link;
    struct channel *channel;
    uid_t uid;
    struct fiber *fiber; /* while a request runs */
    uint16_t verb;
    struct arena request; /* its texts */
    struct str id, queues, site;
    bool is_release;
    uint64_t count; /* of messages concerned so far */
};

/* Changes that are one portion on its way to the disk. It outlives a request that is cancelled. */
struct change {
    struct commit_request request;
    struct portion *portion;
    struct buf bytes; /* the envelope that it writes */
};
struct portion {
    struct queue *queue;
    struct fiber *fiber; /* NULL: nobody waits any more */
    enum queue_tool_action action;
    size_t count, pending;
    uint64_t changed;
    bool has_failed;
    struct change changes[PORTION];
};

static struct str id_key(const uint64_t *queue_id)
{
    return str_of((const char *)queue_id, sizeof *queue_id);
}

bool tools_are_changing(const struct queue *queue, uint64_t queue_id)
{
    return map_count(queue->tools.changing) > 0 &&
           map_find(queue->tools.changing, id_key(&queue_id)) != NULL;
}

/* ---- answers ---- */

static void send_done(struct client *client, uint32_t status, struct str reason)
{
    wire_send_tool_done(
        client->channel,
        &(struct wire_tool_done){ .status = status, .count = client->count, .reason = reason });
}

static bool wait_room(struct client *client)
{
    int64_t deadline_ms = loop_now_ms(client->queue->loop) + CLIENT_WAIT_MS;

    return channel_wait_room(client->channel, deadline_ms) == WAKE_READY &&
           !channel_is_closed(client->channel) && !client->queue->tools.is_draining;
}

/* A message as it is now: an active one is in memory. False: gone, or damaged. */
static bool look_at(struct client *client, uint64_t queue_id, struct queue_message *message)
{
    struct queue *queue = client->queue;
    const struct message *active = active_find(queue, queue_id);
    struct error error = { 0 };

    if (active == NULL) {
        enum store_outcome outcome = queue_message_read(queue->store, queue_id, message, &error);
        if (outcome != STORE_OK && outcome != STORE_ABSENT)
            log_error(&queue->settings->speakers[SPEAKER_QMGR], "%s: %s",
                      queue_id_format(queue_id, queue->settings->has_long_ids).text, error.message);
        return outcome == STORE_OK;
    }
    buf_clear(&message->bytes);
    envelope_encode(&active->envelope, &message->bytes);
    message->queue_id = queue_id;
    message->queue = QUEUE_ACTIVE;
    message->due_ms = active->due_ms;
    return true;
}

/* Where a message has so many recipients that they pass a frame, the first of them are shown. */
static void fit_into_frame(struct queue_message *message)
{
    enum { ROOM_BYTES = CHANNEL_FRAME_MAX - 1024 };

    while (message->bytes.len > ROOM_BYTES) {
        struct arena arena = { 0 };
        struct buf shorter = { 0 };
        struct envelope envelope;
        struct error error;
        if (!envelope_decode(&arena, buf_str(&message->bytes), &envelope, &error))
            envelope = (struct envelope){ 0 };
        envelope.recipient_count /= 2;
        envelope_encode(&envelope, &shorter);
        arena_clear(&arena);
        buf_free(&message->bytes);
        message->bytes = shorter;
    }
}

static void send_message(struct client *client, struct queue_message *message)
{
    fit_into_frame(message);
    wire_send_tool_message(client->channel,
                           &(struct wire_tool_message){ .queue_id = message->queue_id,
                                                        .queue = (uint8_t)message->queue,
                                                        .next_attempt_ms = message->due_ms,
                                                        .envelope = buf_str(&message->bytes) });
}

/* ---- list, show ---- */

static void do_list(struct client *client, const struct queue_selection *selection)
{
    struct queue_message message = { 0 };
    struct queue_walk walk;
    uint64_t queue_id;
    size_t seen = 0;
    bool goes_on = true;

    queue_walk_begin(&walk, selection);
    while (goes_on && queue_walk_next(&walk, client->queue->store, &queue_id)) {
        if (look_at(client, queue_id, &message) && queue_selection_has(selection, message.queue)) {
            send_message(client, &message);
            client->count++;
        }
        if (++seen % PORTION == 0) {
            fiber_yield(client->queue->loop);
            goes_on = wait_room(client);
        }
    }
    queue_message_clear(&message);
    send_done(client, EX_OK, STR(""));
}

static bool send_content(void *argument, struct str bytes)
{
    struct client *client = argument;

    while (bytes.len > 0) {
        struct str part = str_take(bytes, CHANNEL_FRAME_MAX / 2);
        if (!wait_room(client))
            return false;
        wire_send_tool_content(client->channel, &(struct wire_tool_content){ .content = part });
        bytes = str_skip(bytes, part.len);
    }
    return true;
}

static void do_show(struct client *client, const struct queue_selection *selection)
{
    struct queue_message message = { 0 };
    struct error error = { 0 };
    bool is_there = !selection->is_all && look_at(client, selection->queue_id, &message);

    if (is_there) {
        send_message(client, &message);
        client->count = 1;
        enum store_outcome outcome = store_read_content(client->queue->store, selection->queue_id,
                                                        send_content, client, &error);
        if (outcome == STORE_OK || outcome == STORE_ABSENT)
            send_done(client, EX_OK, STR(""));
        else
            send_done(client, EX_DATAERR, str_from(error.message));
    } else {
        send_done(client, EX_NOINPUT, STR("no such message in the queue"));
    }
    queue_message_clear(&message);
}

/* ---- delete, hold, release ---- */

static void portion_free(struct portion *portion)
{
    for (size_t i = 0; i < portion->count; i++)
        buf_free(&portion->changes[i].bytes);
    memory_free(portion);
}

static void log_removed(struct queue *queue, uint64_t queue_id)
{
    struct queue_id_text id = queue_id_format(queue_id, queue->settings->has_long_ids);

    buf_clear(&queue->scratch);
    log_line_removed(str_from(id.text), &queue->scratch);
    log_write_text(&queue->settings->speakers[SPEAKER_POSTSUPER], SEVERITY_INFO,
                   buf_str(&queue->scratch));
}

static void change_done(struct commit_request *request)
{
    struct change *change = list_entry(request, struct change, request);
    struct portion *portion = change->portion;
    struct queue *queue = portion->queue;

    map_remove(queue->tools.changing, id_key(&request->queue_id));
    if (request->outcome == STORE_OK) {
        portion->changed++;
        if (portion->action == QUEUE_TOOL_DELETE)
            log_removed(queue, request->queue_id);
        else if (portion->action == QUEUE_TOOL_RELEASE)
            backlog_add(queue, request->queue_id, request->due_ms);
    } else if (request->outcome != STORE_ABSENT) {
        portion->has_failed = true;
    }
    if (--portion->pending > 0)
        return;
    if (portion->fiber != NULL)
        fiber_wake(portion->fiber);
    else
        portion_free(portion);
}

static void submit_change(struct portion *portion, const struct queue_message *message)
{
    struct queue *queue = portion->queue;
    struct change *change = &portion->changes[portion->count++];

    change->portion = portion;
    change->request = (struct commit_request){
        .kind = portion->action == QUEUE_TOOL_DELETE ? COMMIT_DELETE : COMMIT_UPDATE,
        .queue_id = message->queue_id,
        .due_ms = message->due_ms,
        .may_use_reserve = true,
        .done = change_done,
    };
    if (portion->action != QUEUE_TOOL_DELETE) {
        buf_append(&change->bytes, buf_str(&message->bytes));
        change->request.envelope = buf_str(&change->bytes);
    }
    portion->pending++;
    map_set(queue->tools.changing, id_key(&change->request.queue_id), change);
    committer_submit(queue->committer, &change->request);
}

/* What is in flight finishes; nothing of the message is written or tried after this. */
static void delete_active(struct portion *portion, struct message *active,
                          const struct queue_message *message)
{
    if (active->is_deleted)
        return;
    active->is_deleted = true;
    submit_change(portion, message);
    scheduler_withdraw(portion->queue, active); /* may free it */
}

/* It is held when what is in flight has ended. */
static void hold_active(struct portion *portion, struct message *active)
{
    if (active->is_to_hold || active->is_deleted)
        return;
    active->is_to_hold = true;
    portion->changed++;
    scheduler_withdraw(portion->queue, active);
}

static void change_one(struct portion *portion, struct queue_message *message)
{
    struct message *active = active_find(portion->queue, message->queue_id);

    if (tools_are_changing(portion->queue, message->queue_id))
        return;
    if (active != NULL && portion->action == QUEUE_TOOL_DELETE)
        delete_active(portion, active, message);
    else if (active != NULL && portion->action == QUEUE_TOOL_HOLD)
        hold_active(portion, active);
    else if (active == NULL &&
             (portion->action == QUEUE_TOOL_DELETE ||
              queue_message_hold(message, portion->action == QUEUE_TOOL_RELEASE, clock_wall_ms())))
        submit_change(portion, message);
}

/* False: the request was cancelled, the portion is no longer ours. */
static bool wait_for_portion(struct client *client, struct portion *portion)
{
    struct loop *loop = client->queue->loop;

    portion->fiber = client->fiber;
    while (portion->pending > 0)
        if (fiber_wait(loop, "changes of the queue", DEADLINE_NEVER) == WAKE_CANCELLED)
            break;
    portion->fiber = NULL;
    return portion->pending == 0;
}

/* A message whose end is being written is left alone for that moment. */
static void wait_while_ending(struct client *client, uint64_t queue_id)
{
    for (int i = 0; i < BUSY_TRIES; i++) {
        const struct message *active = active_find(client->queue, queue_id);
        if (active == NULL || !active->is_finished || active->is_deleted ||
            fiber_sleep(client->queue->loop, BUSY_WAIT_MS) == WAKE_CANCELLED)
            return;
    }
}

static struct portion *fill_portion(struct client *client, struct queue_walk *walk,
                                    enum queue_tool_action action, bool *is_over)
{
    struct portion *portion = memory_new(sizeof *portion);
    struct queue_message message = { 0 };
    uint64_t queue_id;

    portion->queue = client->queue;
    portion->action = action;
    for (size_t seen = 0; seen < PORTION; seen++) {
        *is_over = !queue_walk_next(walk, client->queue->store, &queue_id);
        if (*is_over)
            break;
        if (action != QUEUE_TOOL_DELETE)
            wait_while_ending(client, queue_id);
        if (look_at(client, queue_id, &message) &&
            queue_selection_has(&walk->selection, message.queue))
            change_one(portion, &message);
    }
    queue_message_clear(&message);
    return portion;
}

static void do_change(struct client *client, const struct queue_selection *selection,
                      enum queue_tool_action action)
{
    struct queue_walk walk;
    bool is_over = false, has_failed = false;

    queue_walk_begin(&walk, selection);
    while (!is_over && !has_failed) {
        struct portion *portion = fill_portion(client, &walk, action, &is_over);
        if (!wait_for_portion(client, portion))
            return;
        client->count += portion->changed;
        has_failed = portion->has_failed;
        portion_free(portion);
        is_over = is_over || channel_is_closed(client->channel);
    }
    if (has_failed)
        send_done(client, EX_IOERR, STR("the queue could not be written: see the mail log"));
    else
        send_done(client, EX_OK, STR(""));
}

static void do_flush(struct client *client, const struct queue_selection *selection)
{
    struct queue *queue = client->queue;

    if (!selection->is_all) {
        scheduler_forget_dead(queue);
        client->count = backlog_take(queue, selection->queue_id);
    } else {
        scheduler_forget_dead(queue);
        backlog_flush(queue, client->site);
    }
    send_done(client, EX_OK, STR(""));
}

/* ---- a request ---- */

static bool is_allowed(const struct client *client)
{
    if (client->verb == WIRE_tool_list || client->verb == WIRE_tool_flush)
        return true;
    return client->uid == 0 || client->uid == client->queue->options.owner_uid;
}

static void run_request(struct client *client)
{
    struct queue_selection selection;
    struct error error = { 0 };

    client->count = 0;
    if (!is_allowed(client)) {
        send_done(client, EX_NOPERM, STR("use of this command is reserved for the superuser"));
        return;
    }
    if (!queue_selection_parse(client->id, client->queues, &selection, &error)) {
        send_done(client, EX_DATAERR, str_from(error.message));
        return;
    }
    switch (client->verb) {
    case WIRE_tool_list:
        do_list(client, &selection);
        break;
    case WIRE_tool_show:
        do_show(client, &selection);
        break;
    case WIRE_tool_flush:
        do_flush(client, &selection);
        break;
    case WIRE_tool_delete:
        do_change(client, &selection, QUEUE_TOOL_DELETE);
        break;
    default:
        do_change(client, &selection, client->is_release ? QUEUE_TOOL_RELEASE : QUEUE_TOOL_HOLD);
        break;
    }
}

static void client_free(struct client *client)
{
    client->queue->tools.client_count--;
    list_remove(&client->link);
    channel_free(&client->channel);
    arena_clear(&client->request);
    memory_free(client);
}

static void request_fiber(void *argument)
{
    struct client *client = argument;
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

/* Copies what the message says; false where it is none of ours. */
static bool read_request(struct client *client, uint16_t number, struct str payload)
{
    struct channel *channel = client->channel;
    struct arena *arena = &client->request;
    struct wire_tool_list list = { 0 };
    struct wire_tool_delete deletion = { 0 };
    struct wire_tool_flush flush = { 0 };
    struct wire_tool_show show = { 0 };
    struct wire_tool_hold hold = { 0 };
    bool is_good =
        (number == WIRE_tool_list && wire_decode_tool_list(channel, payload, &list)) ||
        (number == WIRE_tool_delete && wire_decode_tool_delete(channel, payload, &deletion)) ||
        (number == WIRE_tool_flush && wire_decode_tool_flush(channel, payload, &flush)) ||
        (number == WIRE_tool_show && wire_decode_tool_show(channel, payload, &show)) ||
        (number == WIRE_tool_hold && wire_decode_tool_hold(channel, payload, &hold));

    if (!is_good || payload.len > REQUEST_BYTES_MAX)
        return false;
    client->verb = number;
    client->is_release = hold.is_release;
    client->id = arena_copy(arena, deletion.id.len > 0 ? deletion.id
                                   : flush.id.len > 0  ? flush.id
                                   : show.id.len > 0   ? show.id
                                                       : hold.id);
    client->queues = arena_copy(arena, list.queue.len > 0       ? list.queue
                                       : deletion.queue.len > 0 ? deletion.queue
                                                                : hold.queue);
    client->site = arena_copy(arena, flush.site);
    /* An empty id never means every message where something changes. */
    return client->id.len > 0 || number == WIRE_tool_list || number == WIRE_tool_flush;
}

static bool client_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct client *client = owner;

    if (!read_request(client, number, payload))
        return false;
    channel_pause(channel);
    client->queue->tools.running++;
    fiber_start(client->queue->loop, "queue tool", request_fiber, client);
    return true;
}

static void client_closed(void *owner, struct channel *channel, const char *reason)
{
    struct client *client = owner;

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
    struct client *client = memory_new(sizeof *client);
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
        struct client *client = list_entry(link, struct client, link);
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
        client_free(list_entry(link, struct client, link));
    map_free(&tools->changing);
}
