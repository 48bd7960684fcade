/* SPDX-License-Identifier: Apache-2.0 */
#include "queue_change.h"

#include "base/memory.h"
#include "mail/queue_id_list.h"

static bool on_answer(void *argument, uint16_t number, struct str payload)
{
    struct queue_change *change = argument;
    struct wire_tool_changed changed;

    if (number != WIRE_tool_changed || !wire_decode_tool_changed(NULL, payload, &changed) ||
        changed.index >= change->count)
        return false;
    change->effects[changed.index] |= changed.effect;
    return true;
}

static bool ask(struct queue_change *change, bool is_all, int *status, struct error *error)
{
    autofree_buf struct buf payload = { 0 };
    struct arena arena = { 0 };
    struct wire_tool_done done = { 0 };
    struct wire_tool_change request = {
        .action = (uint8_t)change->action,
        .is_all = is_all,
        .ids = buf_str(&change->ids),
        .queue = change->queues,
    };

    wire_encode_tool_change(&payload, &request);
    *status = EX_UNAVAILABLE;
    bool is_good = queue_client_ask(change->client, WIRE_tool_change, buf_str(&payload), on_answer,
                                    change, &arena, &done, error);
    if (is_good && done.status != 0) {
        *status = (int)done.status;
        is_good = error_set(error, "%.*s", STR_ARGS(done.reason));
    }
    change->counts.done += done.count;
    change->counts.released += done.released;
    arena_clear(&arena);
    return is_good;
}

bool queue_change_send(struct queue_change *change, int *status, struct error *error)
{
    if (change->count == 0)
        return true;
    if (change->effects == NULL)
        change->effects = memory_new(QUEUE_CHANGE_IDS_MAX);
    memset(change->effects, 0, QUEUE_CHANGE_IDS_MAX);
    bool is_good = ask(change, false, status, error);
    for (size_t i = 0; change->changed != NULL && i < change->count; i++)
        if (change->effects[i] != 0)
            change->changed(change->argument, i, change->effects[i]);
    buf_clear(&change->ids);
    change->count = 0;
    return is_good;
}

bool queue_change_add(struct queue_change *change, uint64_t queue_id, int *status,
                      struct error *error)
{
    if (change->count == QUEUE_CHANGE_IDS_MAX && !queue_change_send(change, status, error))
        return false;
    queue_id_list_add(&change->ids, queue_id);
    change->count++;
    return true;
}

bool queue_change_all(struct queue_change *change, int *status, struct error *error)
{
    return queue_change_send(change, status, error) && ask(change, true, status, error);
}

void queue_change_clear(struct queue_change *change)
{
    buf_free(&change->ids);
    memory_free(change->effects);
    change->effects = NULL;
}
