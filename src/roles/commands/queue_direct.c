/* SPDX-License-Identifier: Apache-2.0 */
#include "queue_direct.h"

#include "mail/queue_id.h"
#include "mail/queue_id_list.h"
#include "service/spool.h"
#include "store/queue_tool.h"

#include <sysexits.h>
#include <unistd.h>

/* One request being answered. */
struct direct {
    struct store *store;
    bool (*answer)(void *argument, uint16_t number, struct str payload);
    void *argument;
    struct arena *arena;
    struct wire_tool_done *done;
    struct error *error;
    bool is_answer_bad;
};

struct store *queue_direct_open(const struct config *config, struct error *error)
{
    struct arena scratch = { 0 };
    struct spool_owner owner;
    struct store *store = NULL;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    struct store_options options = { .folder = spool_path(&scratch, config, "store"),
                                     .is_any_filesystem = config->store_any_filesystem };

    if (!spool_owner_find(config, &owner, error))
        return NULL;
    if (setegid(owner.gid) < 0 || seteuid(owner.uid) < 0)
        error_errno(error, "become mail_owner");
    else
        store = store_open(&options, error);
    if (seteuid(uid) < 0 || setegid(gid) < 0)
        _exit(EX_OSERR); /* half of two users: nothing good can follow */
    arena_clear(&scratch);
    return store;
}

static bool refuse(struct direct *direct, uint32_t status, const char *reason)
{
    direct->done->status = status;
    direct->done->reason = arena_copy(direct->arena, str_from(reason));
    return true;
}

static bool is_understood(const struct direct *direct)
{
    return !direct->is_answer_bad || error_set(direct->error, "the answer was not understood");
}

static bool send_message(struct direct *direct, const struct queue_message *message)
{
    autofree_buf struct buf payload = { 0 };

    wire_encode_tool_message(&payload, &(struct wire_tool_message){
                                           .queue_id = message->queue_id,
                                           .queue = (uint8_t)message->queue,
                                           .next_attempt_ms = message->due_ms,
                                           .envelope = buf_str(&message->bytes),
                                       });
    return direct->answer(direct->argument, WIRE_tool_message, buf_str(&payload));
}

static bool on_listed(void *argument, const struct queue_message *message)
{
    struct direct *direct = argument;

    direct->done->count++;
    return send_message(direct, message);
}

static void on_damaged(void *argument, uint64_t queue_id)
{
    struct direct *direct = argument;
    autofree_buf struct buf payload = { 0 };

    wire_encode_tool_damaged(&payload, &(struct wire_tool_damaged){ queue_id });
    direct->is_answer_bad |=
        !direct->answer(direct->argument, WIRE_tool_damaged, buf_str(&payload));
}

static bool list(struct direct *direct, struct str payload)
{
    struct wire_tool_list request;
    struct queue_selection selection = { .is_all = true };

    if (!wire_decode_tool_list(NULL, payload, &request))
        return error_set(direct->error, "malformed request");
    if (!queue_names_parse(request.queue, &selection.queues, direct->error))
        return refuse(direct, EX_USAGE, direct->error->message);
    return queue_tool_list(direct->store, &selection, on_listed, on_damaged, direct,
                           direct->error) &&
           is_understood(direct);
}

static void on_changed(void *argument, size_t index, unsigned effect)
{
    struct direct *direct = argument;
    autofree_buf struct buf payload = { 0 };

    wire_encode_tool_changed(&payload, &(struct wire_tool_changed){ .index = (uint32_t)index,
                                                                    .effect = (uint8_t)effect });
    direct->is_answer_bad |=
        direct->answer == NULL ||
        !direct->answer(direct->argument, WIRE_tool_changed, buf_str(&payload));
}

static bool change(struct direct *direct, struct str payload)
{
    struct wire_tool_change request;
    struct queue_selection selection = { 0 };
    struct queue_tool_counts counts;
    uint64_t *ids;

    if (!wire_decode_tool_change(NULL, payload, &request) ||
        request.action >= QUEUE_TOOL_ACTION_COUNT ||
        !queue_id_list_parse(direct->arena, request.ids, &ids, &selection.id_count))
        return error_set(direct->error, "malformed request");
    enum queue_tool_action action = (enum queue_tool_action)request.action;
    selection.is_all = request.is_all != 0;
    selection.ids = ids;
    if (request.queue.len == 0)
        selection.queues = queue_tool_default_queues(action);
    if (!queue_names_parse(request.queue, &selection.queues, direct->error))
        return refuse(direct, EX_USAGE, direct->error->message);
    if (!queue_tool_change(direct->store, &selection, action, selection.is_all ? NULL : on_changed,
                           direct, &counts, direct->error))
        return false;
    direct->done->count = counts.done;
    direct->done->released = counts.released;
    return is_understood(direct);
}

static bool on_portion(void *argument, struct str bytes)
{
    const struct direct *direct = argument;
    autofree_buf struct buf payload = { 0 };

    wire_encode_tool_content(&payload, &(struct wire_tool_content){ .content = bytes });
    return direct->answer(direct->argument, WIRE_tool_content, buf_str(&payload));
}

static bool show_message(struct direct *direct, uint64_t queue_id)
{
    struct queue_message message = { 0 };
    enum store_outcome outcome =
        queue_message_read(direct->store, queue_id, &message, direct->error);

    struct error content_error;
    if (outcome == STORE_DAMAGED) {
        queue_message_blank(&message);
        if (send_message(direct, &message))
            (void)store_read_content(direct->store, queue_id, on_portion, direct, &content_error);
    } else if (outcome == STORE_OK && send_message(direct, &message)) {
        outcome = store_read_content(direct->store, queue_id, on_portion, direct, direct->error);
    }
    queue_message_clear(&message);
    if (outcome == STORE_ABSENT)
        return refuse(direct, EX_NOINPUT, "no such message in the queue");
    direct->done->count = 1;
    return outcome == STORE_OK;
}

static bool show(struct direct *direct, struct str payload)
{
    struct wire_tool_show request;
    uint64_t queue_id;

    if (!wire_decode_tool_show(NULL, payload, &request))
        return error_set(direct->error, "malformed request");
    if (!queue_id_parse(request.id, &queue_id))
        return refuse(direct, EX_NOINPUT, "no such message in the queue");
    return show_message(direct, queue_id);
}

bool queue_direct_ask(struct store *store, uint16_t number, struct str payload,
                      bool (*answer)(void *argument, uint16_t number, struct str payload),
                      void *argument, struct arena *arena, struct wire_tool_done *done,
                      struct error *error)
{
    struct direct direct = { .store = store,
                             .answer = answer,
                             .argument = argument,
                             .arena = arena,
                             .done = done,
                             .error = error };

    *done = (struct wire_tool_done){ .reason = STR("") };
    switch (number) {
    case WIRE_tool_list:
        return list(&direct, payload);
    case WIRE_tool_change:
        return change(&direct, payload);
    case WIRE_tool_show:
        return show(&direct, payload);
    default:
        return error_set(error, "this needs the mail system to run; start it with: postfix start");
    }
}
