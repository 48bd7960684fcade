/* SPDX-License-Identifier: Apache-2.0 */
/* The requests that change messages: postsuper's, and to try them now. */
#include "base/clock.h"
#include "base/memory.h"
#include "tool_client.h"

#include <sysexits.h>

enum {
    PENDING_MAX = 4096, /* changes on their way to the disk at once, for one request */
    BUSY_WAIT_MS = 5,
    BUSY_TRIES = 1000,
};

/* One request's changes. It outlives a request that is cancelled while some are on their way. */
struct run {
    struct queue *queue;
    struct fiber *fiber;     /* NULL: nobody waits any more */
    struct channel *channel; /* who hears of each; NULL: nobody */
    enum queue_tool_action action;
    size_t pending;
    struct queue_tool_counts counts;
    bool has_failed;
};

/* One message's change on its way to the disk. */
struct change {
    struct commit_request request;
    struct run *run;
    uint32_t index;
    uint8_t effect;
    struct buf bytes; /* the envelope that it writes */
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

static void tell(struct run *run, uint32_t index, unsigned effect)
{
    queue_tool_count(&run->counts, effect);
    if (run->channel != NULL && effect != 0)
        wire_send_tool_changed(
            run->channel, &(struct wire_tool_changed){ .index = index, .effect = (uint8_t)effect });
}

/* What follows from a change that is on disk. */
static void conclude(struct run *run, const struct commit_request *request)
{
    if (run->action != QUEUE_TOOL_DELETE && run->action != QUEUE_TOOL_HOLD) {
        parking_forget(run->queue, request->queue_id);
        backlog_add(run->queue, request->queue_id, request->due_ms);
    }
}

static void change_done(struct commit_request *request)
{
    struct change *change = list_entry(request, struct change, request);
    struct run *run = change->run;

    map_remove(run->queue->tools.changing, id_key(&request->queue_id));
    if (request->outcome == STORE_OK) {
        conclude(run, request);
        tell(run, change->index, change->effect);
    } else if (request->outcome != STORE_ABSENT) {
        run->has_failed = true;
        /* It is as it was, and may have been passed over while this was on its way. */
        backlog_add(run->queue, request->queue_id, 0);
    }
    buf_free(&change->bytes);
    memory_free(change);
    run->pending--;
    if (run->fiber != NULL)
        fiber_wake(run->fiber);
    else if (run->pending == 0)
        memory_free(run);
}

static struct change *change_new(struct run *run, uint64_t queue_id, size_t index, unsigned effect)
{
    struct change *change = memory_new(sizeof *change);

    change->run = run;
    change->index = (uint32_t)index;
    change->effect = (uint8_t)effect;
    change->request = (struct commit_request){
        .kind = COMMIT_DELETE,
        .queue_id = queue_id,
        .may_use_reserve = true,
        .done = change_done,
    };
    return change;
}

static void submit(struct change *change)
{
    struct queue *queue = change->run->queue;

    change->run->pending++;
    map_set(queue->tools.changing, id_key(&change->request.queue_id), change);
    committer_submit(queue->committer, &change->request);
}

static void submit_update(struct run *run, struct queue_message *message, size_t index,
                          unsigned effect)
{
    struct change *change = change_new(run, message->queue_id, index, effect);

    change->bytes = message->bytes;
    message->bytes = (struct buf){ 0 };
    change->request.kind = COMMIT_UPDATE;
    change->request.envelope = buf_str(&change->bytes);
    change->request.due_ms = message->due_ms;
    submit(change);
}

/* What is in flight finishes; nothing of the message is written or tried after this. */
static void delete_active(struct run *run, struct message *active, size_t index)
{
    if (active->is_deleted)
        return;
    active->is_deleted = true;
    submit(change_new(run, active->queue_id, index, QUEUE_TOOL_DONE));
    scheduler_withdraw(run->queue, active); /* may free it */
}

/* An active message changes when what is in flight has ended. Its mark is written at once, before
 * anybody hears of it, so that it counts also where the deliveries end with this process; what is
 * written of the message later has it too. */
static void change_active(struct run *run, struct message *active, size_t index)
{
    struct envelope *envelope = &active->envelope;

    if (active->is_deleted || message_is_to_requeue(active))
        return;
    if (run->action == QUEUE_TOOL_RETRY) { /* it is being tried */
        message_retry(active);
        tell(run, (uint32_t)index, QUEUE_TOOL_DONE);
        return;
    }
    unsigned effect =
        queue_envelope_change(envelope, run->action, clock_wall_ms(), &active->due_ms);
    if (effect == 0)
        return;
    active->is_changed = true;
    struct change *change = change_new(run, active->queue_id, index, effect);
    envelope_encode(envelope, &change->bytes);
    change->request.kind = COMMIT_UPDATE;
    change->request.envelope = buf_str(&change->bytes);
    change->request.due_ms = active->due_ms;
    submit(change);
    scheduler_withdraw(run->queue, active); /* may free it */
}

/* One that is to be held is in the queue hold already, for who asks for that. */
static bool is_selected(const struct queue_selection *selection, const struct message *active)
{
    return queue_selection_has(selection, QUEUE_ACTIVE) ||
           (message_is_to_hold(active) && queue_selection_has(selection, QUEUE_HOLD));
}

/* A message whose end is being written is left alone for that moment. */
static void wait_while_ending(struct tool_client *client, uint64_t queue_id)
{
    for (int i = 0; i < BUSY_TRIES; i++) {
        const struct message *active = active_find(client->queue, queue_id);
        if (active == NULL || !active->is_finished || active->is_deleted ||
            fiber_sleep(client->queue->loop, BUSY_WAIT_MS) == WAKE_CANCELLED)
            return;
    }
}

static void change_one(struct tool_client *client, struct run *run, const struct queue_walk *walk,
                       uint64_t queue_id, struct queue_message *message)
{
    struct queue *queue = client->queue;

    if (run->action != QUEUE_TOOL_DELETE)
        wait_while_ending(client, queue_id);
    struct message *active = active_find(queue, queue_id);
    if (tools_are_changing(queue, queue_id) || requeue_has(queue, queue_id))
        return;
    if (active != NULL) {
        if (!is_selected(&walk->selection, active))
            return;
        if (run->action == QUEUE_TOOL_DELETE)
            delete_active(run, active, walk->index);
        else
            change_active(run, active, walk->index);
        return;
    }
    struct error error;
    enum store_outcome outcome = tool_look_at(queue, queue_id, message, &error);
    bool is_meant = outcome == STORE_OK
                        ? queue_selection_has(&walk->selection, message->queue)
                        : outcome == STORE_DAMAGED && run->action == QUEUE_TOOL_DELETE;
    if (!is_meant)
        return;
    if (run->action == QUEUE_TOOL_DELETE) {
        submit(change_new(run, queue_id, walk->index, QUEUE_TOOL_DONE));
        return;
    }
    unsigned effect = queue_message_change(message, run->action, clock_wall_ms());
    if (effect != 0)
        submit_update(run, message, walk->index, effect);
}

/* Waits until at most `left` changes are on their way. False: the request was cancelled. */
static bool wait_for(struct run *run, size_t left)
{
    while (run->pending > left)
        if (fiber_wait(run->queue->loop, "changes of the queue", DEADLINE_NEVER) == WAKE_CANCELLED)
            return false;
    return true;
}

/* False: cancelled. */
static bool change_all(struct tool_client *client, struct run *run,
                       const struct queue_selection *selection)
{
    struct queue_message message = { 0 };
    struct queue_walk walk;
    uint64_t queue_id;
    size_t seen = 0;
    bool goes_on = true;

    queue_walk_begin(&walk, selection);
    while (goes_on && !run->has_failed && queue_walk_next(&walk, client->queue->store, &queue_id)) {
        change_one(client, run, &walk, queue_id, &message);
        if (++seen % TOOL_PORTION == 0) {
            fiber_yield(client->queue->loop);
            goes_on = tool_client_has_room(client) && wait_for(run, PENDING_MAX);
        }
    }
    queue_message_clear(&message);
    return wait_for(run, 0) && goes_on;
}

static void run_change(struct tool_client *client, enum queue_tool_action action,
                       const struct queue_selection *selection)
{
    struct run *run = memory_new(sizeof *run);

    run->queue = client->queue;
    run->fiber = client->fiber;
    run->channel = selection->is_all ? NULL : client->channel;
    run->action = action;
    bool is_complete = change_all(client, run, selection);
    if (run->pending > 0) { /* cancelled: the last change frees it */
        run->fiber = NULL;
        run->channel = NULL;
        return;
    }
    if (run->has_failed)
        tool_client_done(client, EX_IOERR, &run->counts,
                         STR("the queue could not be written: see the mail log"));
    else if (is_complete)
        tool_client_done(client, EX_OK, &run->counts, STR(""));
    memory_free(run);
}

void tool_do_change(struct tool_client *client, const struct wire_tool_change *request)
{
    static const struct queue_tool_counts none;
    struct queue_selection selection = { .is_all = request->is_all != 0 };
    struct error error = { 0 };
    uint64_t *ids;

    if (request->action >= QUEUE_TOOL_ACTION_COUNT ||
        !queue_id_list_parse(&client->request, request->ids, &ids, &selection.id_count)) {
        tool_client_done(client, EX_PROTOCOL, &none, STR("malformed request"));
        return;
    }
    enum queue_tool_action action = (enum queue_tool_action)request->action;
    selection.ids = ids;
    selection.queues = request->queue.len == 0 ? queue_tool_default_queues(action) : 0;
    if (!queue_names_parse(request->queue, &selection.queues, &error)) {
        tool_client_done(client, EX_DATAERR, &none, str_from(error.message));
        return;
    }
    if (action == QUEUE_TOOL_RETRY)
        scheduler_forget_dead(client->queue);
    run_change(client, action, &selection);
}

void tool_do_flush(struct tool_client *client, const struct wire_tool_flush *request)
{
    struct queue_tool_counts counts = { 0 };
    struct queue *queue = client->queue;
    uint64_t queue_id;

    if (request->id.len > 0 && !queue_id_parse(request->id, &queue_id)) {
        tool_client_done(client, EX_OK, &counts, STR(""));
        return;
    }
    scheduler_forget_dead(queue);
    if (request->id.len > 0)
        counts.done = backlog_take(queue, queue_id);
    else
        backlog_flush(queue, request->site);
    tool_client_done(client, EX_OK, &counts, STR(""));
}
