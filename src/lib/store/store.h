/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The durable queue. One process opens it, under its lock. Writes happen in batches: begin, any
 * number of changes, commit; when store_commit has returned STORE_OK they are on disk, all of
 * them; in any other case none may be assumed to be (STORE_UNKNOWN: they may or may not be).
 *
 * Threads: one writer thread uses the store_begin … store_commit functions; reads come from one
 * other thread (or from the same one). The interface shows nothing of what is underneath.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

struct store;

enum store_outcome {
    STORE_OK,
    STORE_ABSENT,  /* no such message */
    STORE_EXISTS,  /* a message (or chunk) with this id is there already; nothing was changed */
    STORE_FULL,    /* disk full, quota or batch too large: not written, try again with less */
    STORE_DAMAGED, /* this message's record or content fails its checksum; others are unaffected */
    STORE_UNKNOWN, /* the commit may or may not be on disk: store_reopen tells */
    STORE_FAILED,  /* not written, and the environment is unusable until store_reopen */
};

struct store_options {
    const char *folder;     /* queue_directory/… ; created 0700 where missing and may_create */
    bool may_create;        /* an existing spool without its data file is never re-created */
    bool is_any_filesystem; /* accept tmpfs, overlay, nfs, … (tests) */
    /* Goes back to the last commit but one where the newest is torn (a disk that does not write
     * sectors whole; nothing acknowledged is lost by it), and rescues what can be read of a file
     * whose structure is damaged, keeping that as data.mdb.damaged. What was damaged is reported
     * message by message as it is read; look at store_was_repaired, and tell. */
    bool may_repair;
    int64_t lock_wait_ms;   /* how long to wait for another process to let go of the queue */
    uint64_t reserve_bytes; /* preallocated room beyond the live data; 0 = 64 MiB */
    /* What an operator should know beside errors (an unusual file system, a sweep, a repair); may
     * be NULL. Called by the thread that calls the store. */
    void (*notice)(void *argument, const char *text);
    void *notice_argument;
};

/* Locks, checks the structure of the file, opens, proves with two synced commits that it can
 * write, and sweeps chunks that never became a message. NULL on failure. Tunes malloc for the
 * store's page buffers; call it before threads start, and never fork afterwards. */
struct store *store_open(const struct store_options *options, struct error *error);
void store_close(struct store **store);
/* After STORE_UNKNOWN or STORE_FAILED: closes and opens anew, in place, as store_open does. Writer
 * thread; readers in the other thread wait meanwhile. STORE_OK: the last commit that was tried is
 * on disk, all of it. STORE_ABSENT: it is not, nothing of it. STORE_FAILED (see `error`): the store
 * stays closed, every function fails until another store_reopen succeeds. */
enum store_outcome store_reopen(struct store *store, struct error *error);
/* Whether store_open or store_reopen had to repair something. */
bool store_was_repaired(const struct store *store);

enum {
    STORE_CHUNK_BYTES = 32728, /* with its header exactly eight pages */
    STORE_INLINE_MAX = 65536,  /* content up to this may be given whole to store_put_message */
};

/* ---- the writer ---- */
/* After an outcome other than OK, ABSENT, EXISTS and DAMAGED from a function of the batch, the
 * batch is spoilt: call store_abort. */
must_check bool store_begin(struct store *store, struct error *error);
/* Content that arrives before its message: chunks 0, 1, 2, … of at most STORE_CHUNK_BYTES each.
 * They become part of the message when store_put_message names the same id, and are swept at the
 * next start otherwise. */
enum store_outcome store_put_chunk(struct store *store, uint64_t queue_id, uint32_t index,
                                   struct str bytes, struct error *error);
/* Removes chunks 0 … count-1 that did not become a message; leaves those of a message alone. */
enum store_outcome store_drop_chunks(struct store *store, uint64_t queue_id, uint32_t count,
                                     struct error *error);
struct store_message {
    uint64_t queue_id;
    struct str envelope;
    uint32_t chunk_count; /* how many chunks precede `content` */
    struct str content;   /* what was not sent as chunks: all of it, or the tail */
    int64_t due_ms;       /* wall clock; the order of store_scan_due */
};
/* The message becomes visible. STORE_ABSENT: a chunk is missing. */
enum store_outcome store_put_message(struct store *store, const struct store_message *message,
                                     struct error *error);
/* Replaces the envelope (recipients' states) and the time of its next attempt. The content is not
 * touched. */
enum store_outcome store_update_message(struct store *store, uint64_t queue_id, struct str envelope,
                                        int64_t due_ms, struct error *error);
/* Removes message, content and schedule, also those of a damaged message as far as they can be
 * found. */
enum store_outcome store_delete_message(struct store *store, uint64_t queue_id,
                                        struct error *error);
/* The lowest queue id that was never handed out; part of the next commit. Never goes back. */
void store_set_id_mark(struct store *store, uint64_t mark);
uint64_t store_id_mark(const struct store *store); /* of the last commit; any thread */
enum store_outcome store_commit(struct store *store, struct error *error);
void store_abort(struct store *store);
/* Whether the batch has grown so large that it should be committed before more is added. */
bool store_batch_is_full(const struct store *store);

/* ---- readers ---- */
/* Appends the encoded envelope; `due_ms` may be NULL. */
enum store_outcome store_read_envelope(struct store *store, uint64_t queue_id, struct buf *envelope,
                                       int64_t *due_ms, struct error *error);
/* The whole content in order, in portions, each verified before it is handed out; stops when
 * `portion` returns false. No transaction or lock is held while `portion` runs. */
enum store_outcome store_read_content(struct store *store, uint64_t queue_id,
                                      bool (*portion)(void *argument, struct str bytes),
                                      void *argument, struct error *error);
/* Up to `count` messages that are due at or after (from.due_ms, from.queue_id), in that order,
 * into the array; returns how many, 0 at the end. To go on: from the last one's due_ms and id + 1.
 */
struct store_due {
    int64_t due_ms;
    uint64_t queue_id;
};
size_t store_scan_due(struct store *store, struct store_due from, struct store_due *found,
                      size_t count);
/* Up to `count` ids >= from, ascending. */
size_t store_scan_ids(struct store *store, uint64_t from, uint64_t *found, size_t count);
uint64_t store_message_count(const struct store *store); /* as of the last commit; any thread */

/* Room on disk as the store sees it, any thread: `is_low` when new mail should be refused (below
 * twice the reserve, or below queue_minfree_bytes). */
struct store_space {
    uint64_t used_bytes; /* live pages */
    uint64_t file_bytes;
    uint64_t free_bytes; /* what can still be written: in the file and on the disk */
    bool is_low;
};
void store_space(const struct store *store, uint64_t queue_minfree_bytes,
                 struct store_space *space);
/* Whether store_compact would do something: the file is larger than 1 GiB and more than three
 * quarters of it are free. */
bool store_is_sparse(const struct store *store);
/* Rewrites the file compactly; false with error when it failed (the old file stays in use, or
 * where that cannot be opened again, as after a failed store_reopen). Writer thread, outside a
 * batch; readers go on, and wait only while the files are exchanged. */
must_check bool store_compact(struct store *store, struct error *error);
/* For tests and the slow check: every page of the file accounted for, every record and chunk
 * verified, every index against the other. Calls `problem` for each finding; returns how many.
 * Writer thread, outside a batch. */
size_t store_verify(struct store *store, void (*problem)(void *argument, const char *text),
                    void *argument);
