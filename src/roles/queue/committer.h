/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The committer: the one thread that writes to the store. The loop hands it requests; it takes
 * everything that waits, puts it into one transaction, commits with one flush, and hands the
 * requests back to the loop, each with its outcome. While one commit is on its way to the disk the
 * next batch gathers, so batches grow with the load; where they were larger lately than what has
 * come so far, it waits for the rest a little, never as long as a commit takes.
 *
 * A request belongs to its owner, who keeps it and all it points at alive and unchanged from
 * committer_submit until `done` has been called. Requests take effect in the order in which they
 * were submitted. All functions here are called by the loop's thread, and so is `done`.
 */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "loop/loop.h"
#include "store/store.h"

enum commit_kind {
    COMMIT_CHUNK,       /* content that arrives ahead of its message: queue_id, chunk, content */
    COMMIT_DROP_CHUNKS, /* chunks 0 … chunk-1 of queue_id will not become a message */
    COMMIT_MESSAGE,     /* queue_id, envelope, chunk (how many precede), content, due_ms */
    COMMIT_UPDATE,      /* queue_id, envelope, due_ms */
    COMMIT_DELETE,      /* queue_id; a message that is not there is STORE_OK as well */
    COMMIT_ID_MARK,     /* queue_id: the lowest id that was never handed out */
};

enum { COMMIT_PATIENCE_MS = 20 };

struct commit_request {
    struct list link; /* the committer's, from committer_submit until `done` */
    enum commit_kind kind;
    uint64_t queue_id;
    struct str envelope;
    struct str content;
    uint32_t chunk; /* COMMIT_CHUNK: its index; else how many */
    int64_t due_ms;
    /* New mail leaves the reserve alone and is refused (STORE_FULL) when the disk is nearly full;
     * a bounce made here may use it. Updates, deletions and the id mark always may. */
    bool may_use_reserve;
    /* Nobody waits for it: it may gather up to COMMIT_PATIENCE_MS for others to share the commit
     * with. For the results of deliveries: a crash in that time repeats a delivery. */
    bool is_patient;
    /* This request and the one submitted next become durable together or not at all: a bounce and
     * the update or deletion of the message that it reports. Both get the same outcome, except
     * that an absent or damaged message is told for itself. */
    bool is_with_next;
    /* STORE_OK: on disk. STORE_ABSENT, STORE_EXISTS, STORE_DAMAGED: as store.h says, about this
     * request alone. STORE_FULL: not done, there was no room. STORE_FAILED: not done, or not known
     * to be; see `broken`. STORE_UNKNOWN does not occur: the committer has looked by then. */
    enum store_outcome outcome;
    void (*done)(struct commit_request *request);
};

struct committer;

/* What the committer tells its role beside the outcomes; called in the loop. */
struct committer_events {
    void *argument;
    /* Something an operator should know, once: the store was reopened after a write error, the
     * file was compacted, the disk is full. */
    void (*notice)(void *argument, enum severity severity, const char *text);
    /* The store cannot be written any more, also after reopening it (three times within an hour,
     * or the reopening failed): every request from now on ends with STORE_FAILED. The role should
     * end, so that its supervisor starts it anew; no 250 may be given meanwhile. */
    void (*broken)(void *argument, const char *text);
};

/* Starts the thread (all signals blocked in it). The store stays the caller's; between
 * committer_new and committer_free its writer functions are the committer's alone, and its reader
 * functions the loop's. NULL with `error` on failure. */
struct committer *committer_new(struct loop *loop, struct store *store,
                                const struct committer_events *events, struct error *error);

/* Queues a request; everything submitted in one iteration of the loop is handed over together,
 * before the loop sleeps. */
void committer_submit(struct committer *committer, struct commit_request *request);

/* Requests submitted and not yet done: for limits and statistics. */
size_t committer_waiting_count(const struct committer *committer);

/* Figures since the start, for the status command. */
struct committer_statistics {
    uint64_t commits;
    uint64_t requests;
    uint64_t largest_batch;
    uint64_t waits;     /* steps in which a batch waited for more to come */
    uint64_t commit_us; /* in all commits together */
    uint64_t slowest_commit_us;
};
void committer_statistics(const struct committer *committer,
                          struct committer_statistics *statistics);

/* Drains: waits until everything submitted is committed, calls every `done`, ends the thread. */
void committer_free(struct committer **committer);
