/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the queue tools do, over a store: which messages a request means, which of Postfix's queues
 * a message counts to, and listing, deleting and holding while the mail system is down. The queue
 * role uses the same selection and walk while it runs.
 */
#pragma once

#include "mail/queue_format.h"
#include "store/store.h"

/* Held messages stand here in the schedule: never due. */
#define QUEUE_TOOL_NEVER_MS INT64_MAX

struct queue_selection {
    bool is_all;
    uint64_t queue_id; /* where not all */
    unsigned queues;   /* a bit 1 << enum queue_name for each that is meant; 0 = every queue */
};
/* `id` a queue id, "ALL" or "" (also all); `queues` names separated by blanks or commas. False:
 * no such id ("invalid mail queue id") or queue; `error` says it in Postfix's words. */
must_check bool queue_selection_parse(struct str id, struct str queues,
                                      struct queue_selection *selection, struct error *error);
bool queue_selection_has(const struct queue_selection *selection, enum queue_name queue);

/* The queue that a message at rest counts to. */
enum queue_name queue_of_message(const struct envelope *envelope, int64_t due_ms, int64_t now_ms);

/* Walks the selected ids in their order, in portions, without holding anything in the store. */
struct queue_walk {
    struct queue_selection selection;
    uint64_t from;
    uint64_t ids[64];
    size_t count, next;
    bool is_over;
};
void queue_walk_begin(struct queue_walk *walk, const struct queue_selection *selection);
/* False at the end. */
bool queue_walk_next(struct queue_walk *walk, struct store *store, uint64_t *queue_id);

/* One message at rest; `bytes` and `arena` are cleared first and hold it afterwards. */
struct queue_message {
    uint64_t queue_id;
    enum queue_name queue;
    int64_t due_ms;
    struct envelope envelope;
    struct buf bytes;
    struct arena arena;
};
void queue_message_clear(struct queue_message *message);
enum store_outcome queue_message_read(struct store *store, uint64_t queue_id,
                                      struct queue_message *message, struct error *error);
/* The envelope and schedule of a message that is put on hold or released: true when that changes
 * anything. The new bytes are in message->bytes. */
bool queue_message_hold(struct queue_message *message, bool is_release, int64_t now_ms);

/* ---- while the mail system is down: the caller holds the store alone ---- */
/* Calls `visit` for each; it returns false to stop. Damaged messages are visited through
 * `damaged`, which may be NULL. */
must_check bool queue_tool_list(struct store *store, const struct queue_selection *selection,
                                bool (*visit)(void *argument, const struct queue_message *message),
                                void (*damaged)(void *argument, uint64_t queue_id), void *argument,
                                struct error *error);
enum queue_tool_action { QUEUE_TOOL_DELETE, QUEUE_TOOL_HOLD, QUEUE_TOOL_RELEASE };
/* Changes are durable on return; `changed` (may be NULL) hears of each message concerned. */
must_check bool queue_tool_change(struct store *store, const struct queue_selection *selection,
                                  enum queue_tool_action action,
                                  void (*changed)(void *argument, uint64_t queue_id),
                                  void *argument, uint64_t *count, struct error *error);
