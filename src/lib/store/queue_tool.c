/* SPDX-License-Identifier: Apache-2.0 */
#include "store/queue_tool.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/memory.h"

bool queue_names_parse(struct str names, unsigned *queues, struct error *error)
{
    struct str word;

    while (str_next_word(&names, " ,\t", &word)) {
        enum queue_name name;
        if (!queue_name_parse(word, &name))
            return error_set(error, "invalid directory name: %.*s", STR_ARGS(str_take(word, 100)));
        *queues |= 1u << name;
    }
    return true;
}

unsigned queue_tool_default_queues(enum queue_tool_action action)
{
    enum { LIVE = 1u << QUEUE_INCOMING | 1u << QUEUE_ACTIVE | 1u << QUEUE_DEFERRED };

    switch (action) {
    case QUEUE_TOOL_HOLD:
        return LIVE;
    case QUEUE_TOOL_RELEASE:
        return 1u << QUEUE_HOLD;
    case QUEUE_TOOL_DELETE:
    case QUEUE_TOOL_EXPIRE:
    case QUEUE_TOOL_EXPIRE_RELEASE:
    case QUEUE_TOOL_REQUEUE:
    case QUEUE_TOOL_RETRY:
    case QUEUE_TOOL_ACTION_COUNT:
        break;
    }
    return LIVE | 1u << QUEUE_HOLD;
}

bool queue_selection_has(const struct queue_selection *selection, enum queue_name queue)
{
    return selection->queues == 0 || (selection->queues & 1u << queue) != 0;
}

enum queue_name queue_of_message(const struct envelope *envelope, int64_t due_ms, int64_t now_ms)
{
    if (envelope->flags & ENVELOPE_HELD)
        return QUEUE_HOLD;
    if (envelope->flags & ENVELOPE_REQUEUED)
        return QUEUE_MAILDROP; /* where Postfix would have put it */
    return envelope->attempts == 0 && due_ms <= now_ms ? QUEUE_INCOMING : QUEUE_DEFERRED;
}

void queue_walk_begin(struct queue_walk *walk, const struct queue_selection *selection)
{
    *walk = (struct queue_walk){ .selection = *selection };
}

bool queue_walk_next(struct queue_walk *walk, struct store *store, uint64_t *queue_id)
{
    if (!walk->selection.is_all) {
        if (walk->next == walk->selection.id_count)
            return false;
        walk->index = walk->next++;
        *queue_id = walk->selection.ids[walk->index];
        return true;
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

void queue_message_blank(struct queue_message *message)
{
    arena_clear(&message->arena);
    buf_clear(&message->bytes);
    message->envelope = (struct envelope){ 0 };
    message->queue = QUEUE_DEFERRED;
    message->due_ms = 0;
    envelope_encode(&message->envelope, &message->bytes);
}

unsigned queue_envelope_change(struct envelope *envelope, enum queue_tool_action action,
                               int64_t now_ms, int64_t *due_ms)
{
    bool is_held = (envelope->flags & ENVELOPE_HELD) != 0;
    bool is_expired = (envelope->flags & ENVELOPE_FORCE_EXPIRED) != 0;
    bool is_requeued = (envelope->flags & ENVELOPE_REQUEUED) != 0;

    switch (action) {
    case QUEUE_TOOL_HOLD:
        if (is_held || is_requeued)
            return 0;
        envelope->flags |= ENVELOPE_HELD;
        *due_ms = QUEUE_TOOL_NEVER_MS;
        return QUEUE_TOOL_DONE;
    case QUEUE_TOOL_RELEASE:
        if (!is_held)
            return 0;
        envelope->flags &= ~(uint32_t)ENVELOPE_HELD;
        *due_ms = now_ms;
        return QUEUE_TOOL_DONE;
    case QUEUE_TOOL_EXPIRE:
    case QUEUE_TOOL_EXPIRE_RELEASE: {
        bool is_released = is_held && action == QUEUE_TOOL_EXPIRE_RELEASE;
        envelope->flags |= ENVELOPE_FORCE_EXPIRED;
        if (is_released) {
            envelope->flags &= ~(uint32_t)ENVELOPE_HELD;
            *due_ms = now_ms;
        }
        return (is_expired ? 0 : QUEUE_TOOL_DONE) | (is_released ? QUEUE_TOOL_RELEASED : 0);
    }
    case QUEUE_TOOL_REQUEUE:
        if (is_requeued)
            return 0;
        envelope->flags &= ~(uint32_t)(ENVELOPE_HELD | ENVELOPE_FORCE_EXPIRED);
        envelope->flags |= ENVELOPE_REQUEUED;
        *due_ms = now_ms;
        return QUEUE_TOOL_DONE;
    case QUEUE_TOOL_RETRY:
        if (is_held)
            return 0;
        *due_ms = now_ms;
        return QUEUE_TOOL_DONE;
    case QUEUE_TOOL_DELETE:
    case QUEUE_TOOL_ACTION_COUNT:
        break;
    }
    unreachable();
}

unsigned queue_message_change(struct queue_message *message, enum queue_tool_action action,
                              int64_t now_ms)
{
    struct envelope *envelope = &message->envelope;
    struct buf encoded = { 0 };
    unsigned effect = queue_envelope_change(envelope, action, now_ms, &message->due_ms);

    if (effect == 0)
        return 0;
    envelope->next_attempt_ms = envelope->flags & ENVELOPE_HELD ? 0 : message->due_ms;
    message->queue = queue_of_message(envelope, message->due_ms, now_ms);
    envelope_encode(envelope, &encoded);
    buf_free(&message->bytes); /* the envelope borrowed from it: it is not looked at any more */
    arena_clear(&message->arena);
    message->bytes = encoded;
    return effect;
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

/* The change is in the batch; `effect` says whether there was one. */
static enum store_outcome change_one(struct store *store, struct queue_message *message,
                                     enum queue_tool_action action, unsigned *effect,
                                     struct error *error)
{
    enum store_outcome outcome;

    *effect = action == QUEUE_TOOL_DELETE ? QUEUE_TOOL_DONE
                                          : queue_message_change(message, action, clock_wall_ms());
    if (*effect == 0)
        return STORE_OK;
    if (action == QUEUE_TOOL_DELETE)
        outcome = store_delete_message(store, message->queue_id, error);
    else
        outcome = store_update_message(store, message->queue_id, buf_str(&message->bytes),
                                       message->due_ms, error);
    if (outcome != STORE_OK)
        *effect = 0;
    return outcome;
}

struct change {
    struct store *store;
    enum queue_tool_action action;
    struct queue_walk walk;
    struct queue_message message;
    struct {
        size_t index;
        unsigned effect;
    } done[4096]; /* in the batch */
    size_t done_count;
};

/* Adds messages to the batch until it is full or the walk ends. */
static bool fill_batch(struct change *change, bool *is_over, struct error *error)
{
    const struct queue_selection *selection = &change->walk.selection;
    uint64_t queue_id;
    unsigned effect;

    change->done_count = 0;
    while (change->done_count < sizeof change->done / sizeof change->done[0] &&
           !store_batch_is_full(change->store)) {
        *is_over = !queue_walk_next(&change->walk, change->store, &queue_id);
        if (*is_over)
            return true;
        enum store_outcome outcome =
            queue_message_read(change->store, queue_id, &change->message, error);
        bool is_meant = outcome == STORE_OK
                            ? queue_selection_has(selection, change->message.queue)
                            : outcome == STORE_DAMAGED && change->action == QUEUE_TOOL_DELETE;
        if (!is_meant)
            continue;
        outcome = change_one(change->store, &change->message, change->action, &effect, error);
        if (outcome != STORE_OK && outcome != STORE_ABSENT && outcome != STORE_DAMAGED)
            return false;
        if (effect == 0)
            continue;
        change->done[change->done_count].index = change->walk.index;
        change->done[change->done_count++].effect = effect;
    }
    return true;
}

void queue_tool_count(struct queue_tool_counts *counts, unsigned effect)
{
    counts->done += (effect & QUEUE_TOOL_DONE) != 0;
    counts->released += (effect & QUEUE_TOOL_RELEASED) != 0;
}

bool queue_tool_change(struct store *store, const struct queue_selection *selection,
                       enum queue_tool_action action,
                       void (*changed)(void *argument, size_t index, unsigned effect),
                       void *argument, struct queue_tool_counts *counts, struct error *error)
{
    struct change *change = memory_new(sizeof *change);
    bool is_over = false, is_good = true;

    change->store = store;
    change->action = action;
    *counts = (struct queue_tool_counts){ 0 };
    queue_walk_begin(&change->walk, selection);
    while (is_good && !is_over) {
        is_good = store_begin(store, error);
        if (!is_good)
            break;
        if (!fill_batch(change, &is_over, error)) {
            store_abort(store);
            is_good = false;
        } else {
            is_good = store_commit(store, error) == STORE_OK;
        }
        for (size_t i = 0; is_good && i < change->done_count; i++) {
            queue_tool_count(counts, change->done[i].effect);
            if (changed != NULL)
                changed(argument, change->done[i].index, change->done[i].effect);
        }
    }
    queue_message_clear(&change->message);
    memory_free(change);
    return is_good;
}
