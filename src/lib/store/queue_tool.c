/* SPDX-License-Identifier: Apache-2.0 */
#include "store/queue_tool.h"

#include "base/clock.h"
#include "mail/queue_id.h"

bool queue_selection_parse(struct str id, struct str queues, struct queue_selection *selection,
                           struct error *error)
{
    struct str word;

    *selection = (struct queue_selection){ .is_all = id.len == 0 || str_equal(id, STR("ALL")) };
    if (!selection->is_all && !queue_id_parse(id, &selection->queue_id))
        return error_set(error, "invalid mail queue id: %.*s", STR_ARGS(str_take(id, 100)));
    while (str_next_word(&queues, " ,\t", &word)) {
        enum queue_name name;
        if (!queue_name_parse(word, &name))
            return error_set(error, "invalid directory name: %.*s", STR_ARGS(str_take(word, 100)));
        selection->queues |= 1u << name;
    }
    return true;
}

bool queue_selection_has(const struct queue_selection *selection, enum queue_name queue)
{
    return selection->queues == 0 || (selection->queues & 1u << queue) != 0;
}

enum queue_name queue_of_message(const struct envelope *envelope, int64_t due_ms, int64_t now_ms)
{
    if (envelope->flags & ENVELOPE_HELD)
        return QUEUE_HOLD;
    return envelope->attempts == 0 && due_ms <= now_ms ? QUEUE_INCOMING : QUEUE_DEFERRED;
}

void queue_walk_begin(struct queue_walk *walk, const struct queue_selection *selection)
{
    *walk = (struct queue_walk){ .selection = *selection };
}

bool queue_walk_next(struct queue_walk *walk, struct store *store, uint64_t *queue_id)
{
    if (!walk->selection.is_all) {
        *queue_id = walk->selection.queue_id;
        bool is_first = !walk->is_over;
        walk->is_over = true;
        return is_first;
    }
    if (walk->next == walk->count && !walk->is_over) {
        walk->count =
            store_scan_ids(store, walk->from, walk->ids, sizeof walk->ids / sizeof walk->ids[0]);
        walk->next = 0;
        walk->is_over = walk->count == 0;
    }
    if (walk->is_over)
        return false;
    *queue_id = walk->ids[walk->next++];
    walk->from = *queue_id + 1;
    return true;
}

void queue_message_clear(struct queue_message *message)
{
    buf_free(&message->bytes);
    arena_clear(&message->arena);
}

enum store_outcome queue_message_read(struct store *store, uint64_t queue_id,
                                      struct queue_message *message, struct error *error)
{
    arena_clear(&message->arena);
    buf_clear(&message->bytes);
    message->queue_id = queue_id;
    enum store_outcome outcome =
        store_read_envelope(store, queue_id, &message->bytes, &message->due_ms, error);
    if (outcome != STORE_OK)
        return outcome;
    if (!envelope_decode(&message->arena, buf_str(&message->bytes), &message->envelope, error))
        return STORE_DAMAGED;
    message->queue = queue_of_message(&message->envelope, message->due_ms, clock_wall_ms());
    return STORE_OK;
}

bool queue_message_hold(struct queue_message *message, bool is_release, int64_t now_ms)
{
    struct envelope *envelope = &message->envelope;
    bool is_held = (envelope->flags & ENVELOPE_HELD) != 0;
    struct buf encoded = { 0 };

    if (is_held != is_release)
        return false;
    envelope->flags ^= ENVELOPE_HELD;
    message->due_ms = is_release ? now_ms : QUEUE_TOOL_NEVER_MS;
    envelope->next_attempt_ms = is_release ? now_ms : 0;
    message->queue = queue_of_message(envelope, message->due_ms, now_ms);
    envelope_encode(envelope, &encoded);
    buf_free(&message->bytes); /* the envelope borrowed from it: it is not looked at any more */
    arena_clear(&message->arena);
    message->bytes = encoded;
    return true;
}

bool queue_tool_list(struct store *store, const struct queue_selection *selection,
                     bool (*visit)(void *argument, const struct queue_message *message),
                     void (*damaged)(void *argument, uint64_t queue_id), void *argument,
                     struct error *error)
{
    struct queue_walk walk;
    struct queue_message message = { 0 };
    uint64_t queue_id;
    bool goes_on = true, is_good = true;

    queue_walk_begin(&walk, selection);
    while (goes_on && is_good && queue_walk_next(&walk, store, &queue_id)) {
        enum store_outcome outcome = queue_message_read(store, queue_id, &message, error);
        if (outcome == STORE_OK && queue_selection_has(selection, message.queue))
            goes_on = visit(argument, &message);
        else if (outcome == STORE_DAMAGED && damaged != NULL)
            damaged(argument, queue_id);
        else if (outcome == STORE_FAILED || outcome == STORE_UNKNOWN)
            is_good = false;
    }
    queue_message_clear(&message);
    return is_good;
}

/* True: the message is concerned, and its change is in the batch. */
static enum store_outcome change_one(struct store *store, struct queue_message *message,
                                     enum queue_tool_action action, bool *is_changed,
                                     struct error *error)
{
    *is_changed = false;
    if (action == QUEUE_TOOL_DELETE) {
        enum store_outcome outcome = store_delete_message(store, message->queue_id, error);
        *is_changed = outcome == STORE_OK;
        return outcome;
    }
    if (!queue_message_hold(message, action == QUEUE_TOOL_RELEASE, clock_wall_ms()))
        return STORE_OK;
    enum store_outcome outcome = store_update_message(
        store, message->queue_id, buf_str(&message->bytes), message->due_ms, error);
    *is_changed = outcome == STORE_OK;
    return outcome;
}

struct change {
    struct store *store;
    const struct queue_selection *selection;
    enum queue_tool_action action;
    struct queue_walk walk;
    struct queue_message message;
    uint64_t done[256]; /* in the batch */
    size_t done_count;
};

/* Adds messages to the batch until it is full or the walk ends. */
static bool fill_batch(struct change *change, bool *is_over, struct error *error)
{
    uint64_t queue_id;
    bool is_changed;

    change->done_count = 0;
    while (change->done_count < sizeof change->done / sizeof change->done[0] &&
           !store_batch_is_full(change->store)) {
        *is_over = !queue_walk_next(&change->walk, change->store, &queue_id);
        if (*is_over)
            return true;
        enum store_outcome outcome =
            queue_message_read(change->store, queue_id, &change->message, error);
        bool is_meant = outcome == STORE_OK
                            ? queue_selection_has(change->selection, change->message.queue)
                            : outcome == STORE_DAMAGED && change->action == QUEUE_TOOL_DELETE;
        if (!is_meant)
            continue;
        outcome = change_one(change->store, &change->message, change->action, &is_changed, error);
        if (outcome != STORE_OK && outcome != STORE_ABSENT && outcome != STORE_DAMAGED)
            return false;
        if (is_changed)
            change->done[change->done_count++] = queue_id;
    }
    return true;
}

bool queue_tool_change(struct store *store, const struct queue_selection *selection,
                       enum queue_tool_action action,
                       void (*changed)(void *argument, uint64_t queue_id), void *argument,
                       uint64_t *count, struct error *error)
{
    struct change change = { .store = store, .selection = selection, .action = action };
    bool is_over = false, is_good = true;

    *count = 0;
    queue_walk_begin(&change.walk, selection);
    while (is_good && !is_over) {
        is_good = store_begin(store, error);
        if (!is_good)
            break;
        if (!fill_batch(&change, &is_over, error)) {
            store_abort(store);
            is_good = false;
        } else {
            is_good = store_commit(store, error) == STORE_OK;
        }
        for (size_t i = 0; is_good && i < change.done_count; i++) {
            (*count)++;
            if (changed != NULL)
                changed(argument, change.done[i]);
        }
    }
    queue_message_clear(&change.message);
    return is_good;
}
