/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The durable queue. One process opens it, under its lock. Writes happen in batches: begin, any
 * number of changes, commit; when store_commit has returned STORE_OK they are on disk, all of
 * them; in any other case none may be assumed to be (STORE_UNKNOWN: they may or may not be).
 *
 * Threads: one writer thread uses the store_begin … store_commit functions; reads may come from
 * one other thread. The interface shows nothing of what is underneath.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

struct store;

enum store_outcome {
    STORE_OK,
    STORE_ABSENT,  /* no such message */
    STORE_FULL,    /* disk full or quota: nothing was written, try again when there is room */
    STORE_DAMAGED, /* this message's record or content fails its checksum */
    STORE_UNKNOWN, /* the commit may or may not be on disk: close, reopen, look */
    STORE_FAILED,  /* the environment is unusable: close and reopen (see `error`) */
};

struct store_options {
    const char *folder;      /* queue_directory/… ; created 0700 where missing and may_create */
    bool may_create;         /* an existing spool without its data file is never re-created */
    bool is_any_filesystem;  /* accept tmpfs, overlay, nfs, … (tests) */
    uint64_t reserve_bytes;  /* preallocated room beyond the live data; 0 = 64 MiB */
};

/* Locks, checks, opens, and proves with two synced commits that it can write. NULL on failure. */
struct store *store_open(const struct store_options *options, struct error *error);
void store_close(struct store **store);

enum {
    STORE_CHUNK_BYTES = 32752,      /* content beyond the inline part comes in chunks of this size */
    STORE_INLINE_MAX = 65536,       /* content up to this may be given whole to store_put_message */
};

/* ---- the writer ---- */
must_check bool store_begin(struct store *store, struct error *error);
/* Content that arrives before its message: chunks 0, 1, 2, … of STORE_CHUNK_BYTES each (the last
 * may be shorter). They become part of the message when store_put_message names the same id, and
 * are swept at the next start otherwise. */
enum store_outcome store_put_chunk(struct store *store, uint64_t queue_id, uint32_t index,
                                   struct str bytes, struct error *error);
void store_drop_chunks(struct store *store, uint64_t queue_id, uint32_t count);
/* The message becomes visible. `content` is what was not sent as chunks (all of it, or the tail);
 * `chunk_count` how many chunks precede it. */
enum store_outcome store_put_message(struct store *store, uint64_t queue_id, struct str envelope,
                                     uint32_t chunk_count, struct str content, int64_t due_ms,
                                     struct error *error);
/* Replaces the envelope (recipients' states) and the time of its next attempt. */
enum store_outcome store_update_message(struct store *store, uint64_t queue_id,
                                        struct str envelope, int64_t due_ms, struct error *error);
/* Removes message, content and schedule. STORE_ABSENT is no error. */
enum store_outcome store_delete_message(struct store *store, uint64_t queue_id,
                                        struct error *error);
/* The lowest queue id that was never handed out; part of every commit. */
void store_set_id_mark(struct store *store, uint64_t mark);
uint64_t store_id_mark(const struct store *store);
enum store_outcome store_commit(struct store *store, struct error *error);
void store_abort(struct store *store);
/* Whether the batch has grown so large that it should be committed before more is added. */
bool store_batch_is_full(const struct store *store);

/* ---- readers ---- */
/* Appends the encoded envelope; `due_ms` may be NULL. */
enum store_outcome store_read_envelope(struct store *store, uint64_t queue_id, struct buf *envelope,
                                       int64_t *due_ms, struct error *error);
/* The whole content in order, in portions, each verified before it is handed out; stops when
 * `portion` returns false. No transaction is held while `portion` runs. */
enum store_outcome store_read_content(struct store *store, uint64_t queue_id,
                                      bool (*portion)(void *argument, struct str bytes),
                                      void *argument, struct error *error);
/* Up to `count` messages that are due at or after (from_due_ms, from_id), in that order, into the
 * arrays; returns how many, 0 at the end. To go on: from the last one's due_ms and id + 1. */
struct store_due {
    int64_t due_ms;
    uint64_t queue_id;
};
size_t store_scan_due(struct store *store, struct store_due from, struct store_due *found,
                      size_t count);
/* Up to `count` ids >= from, ascending. */
size_t store_scan_ids(struct store *store, uint64_t from, uint64_t *found, size_t count);
uint64_t store_message_count(struct store *store);

/* Room on disk as the store sees it: `is_low` when new mail should be refused (below twice the
 * reserve, or below queue_minfree_bytes). */
struct store_space {
    uint64_t used_bytes;
    uint64_t file_bytes;
    uint64_t free_bytes;
    bool is_low;
};
void store_space(struct store *store, uint64_t queue_minfree_bytes, struct store_space *space);
/* Rewrites the file compactly where that is worth it; false with error when it failed (the old
 * file stays in use). Writer thread, outside a batch; no reader may be active. */
must_check bool store_compact(struct store *store, struct error *error);
/* For tests and the slow check: every record and chunk verified, every index against the other.
 * Calls `problem` for each finding; returns how many. */
size_t store_verify(struct store *store, void (*problem)(void *argument, const char *text),
                    void *argument);
