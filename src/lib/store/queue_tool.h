/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the queue tools do, over a store: which messages a request means, which of Postfix's queues
 * a message counts to, and listing and changing while the mail system is down. The queue role
 * uses the same selection, walk and changes while it runs. See postsuper(1) for what each change
 * means.
 */
#pragma once

#include "mail/queue_format.h"
#include "store/store.h"

/* Held messages stand here in the schedule: never due. */
#define QUEUE_TOOL_NEVER_MS INT64_MAX

enum queue_tool_action {
    QUEUE_TOOL_DELETE,
    QUEUE_TOOL_HOLD,
    QUEUE_TOOL_RELEASE,
    QUEUE_TOOL_EXPIRE,         /* returned to the sender when it is due, or released */
    QUEUE_TOOL_EXPIRE_RELEASE, /* the same, and released if it is held */
    QUEUE_TOOL_REQUEUE,        /* through cleanup again, under another id */
    QUEUE_TOOL_RETRY,          /* due now */
    QUEUE_TOOL_ACTION_COUNT
};
/* What a change did to one message. */
enum queue_tool_effect {
    QUEUE_TOOL_DONE = 1,     /* what the action is named for */
    QUEUE_TOOL_RELEASED = 2, /* QUEUE_TOOL_EXPIRE_RELEASE took it off hold */
};

struct queue_selection {
    bool is_all;
    const uint64_t *ids; /* where not all; borrowed */
    size_t id_count;
    unsigned queues; /* a bit 1 << enum queue_name for each that is meant; 0 = every queue */
};
/* Adds the bits of the names, which are separated by blanks or commas. False: no such queue;
 * `error` says it in Postfix's words. */
must_check bool queue_names_parse(struct str names, unsigned *queues, struct error *error);
/* The queues that Postfix's postsuper looks in when none is named. */
unsigned queue_tool_default_queues(enum queue_tool_action action);
bool queue_selection_has(const struct queue_selection *selection, enum queue_name queue);

/* The queue that a message at rest counts to. */
enum queue_name queue_of_message(const struct envelope *envelope, int64_t due_ms, int64_t now_ms);

/* Walks the selected ids, all of them in their order or those that were named in theirs, in
 * portions, without holding anything in the store. */
struct queue_walk {
    struct queue_selection selection;
    uint64_t from;
    uint64_t ids[64];
    size_t count, next;
    size_t index; /* of the id that was given last, among those that were named */
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
/* What can be shown of one that is damaged, beside its content: nothing. `queue_id` stays. */
void queue_message_blank(struct queue_message *message);
/* Flags and schedule after any change but a deletion. enum queue_tool_effect bits; 0: they are as
 * they were. */
unsigned queue_envelope_change(struct envelope *envelope, enum queue_tool_action action,
                               int64_t now_ms, int64_t *due_ms);
/* The same with a message at rest; the new bytes are in message->bytes. */
unsigned queue_message_change(struct queue_message *message, enum queue_tool_action action,
                              int64_t now_ms);

/* ---- while the mail system is down: the caller holds the store alone ---- */
/* Calls `visit` for each; it returns false to stop. Damaged messages are visited through
 * `damaged`, which may be NULL. */
must_check bool queue_tool_list(struct store *store, const struct queue_selection *selection,
                                bool (*visit)(void *argument, const struct queue_message *message),
                                void (*damaged)(void *argument, uint64_t queue_id), void *argument,
                                struct error *error);
/* How many messages were concerned, by each effect. */
struct queue_tool_counts {
    uint64_t done, released;
};
void queue_tool_count(struct queue_tool_counts *counts, unsigned effect);
/* Changes are durable on return; `changed` (may be NULL) hears of each message concerned: its
 * index among the named ids, and enum queue_tool_effect bits. */
must_check bool queue_tool_change(struct store *store, const struct queue_selection *selection,
                                  enum queue_tool_action action,
                                  void (*changed)(void *argument, size_t index, unsigned effect),
                                  void *argument, struct queue_tool_counts *counts,
                                  struct error *error);
