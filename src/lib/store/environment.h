/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share: the LMDB environment behind a struct store. The one header
 * that shows LMDB's types; nothing outside this folder may include it.
 *
 * One tree (the unnamed database) holds every record: a batch of small messages then dirties the
 * fewest pages. `gate` keeps readers out while the environment is exchanged; everything else
 * between the two threads is LMDB's own or atomic.
 */
#pragma once

#include "store/record.h"
#include "store/store.h"
#include "waypost_build.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    PAGE_BYTES = 4096,
    PAGE_HEADER_BYTES = 16,
    /* A value up to this may stand in a leaf; a longer one has pages of its own. */
    LEAF_VALUE_MAX_BYTES = 1900,
    BATCH_PAGES = 6144,      /* then store_batch_is_full says so */
    BATCH_PAGES_MAX = 40000, /* beyond, nothing is taken: LMDB's own list ends at 131,071 */
    BATCH_MS = 50,
    BATCH_CHUNKS_DELETED = 2000,
    DEFAULT_RESERVE_BYTES = 64 << 20,
};

/* Address space only; fixed while the store is open. */
static const size_t map_bytes = (size_t)WAYPOST_QUEUE_MAP_GIB << 30;

/* Chunks of a deleted message that later batches remove; a crash leaves them to the sweep. */
struct leftover {
    uint64_t queue_id;
    uint32_t next, end;
};

struct store {
    struct store_options options; /* `folder` is our own copy */
    int lock_fd;
    MDB_env *env; /* NULL after a failed store_reopen */
    MDB_dbi dbi;
    int data_fd;      /* LMDB's own */
    const char *base; /* where it is mapped, to turn a value's address into a file offset */
    bool was_repaired;

    /* the writer's */
    MDB_txn *batch;
    size_t batch_pages;
    int64_t batch_started_ms;
    struct self_record self; /* as of the last commit */
    struct self_record next; /* as this batch will leave it */
    uint64_t id_mark;        /* wanted */
    uint64_t tried_commit;   /* the number of the last commit that was tried */
    struct leftover *leftovers;
    size_t leftover_count;
    size_t leftovers_before_batch; /* what an abort goes back to */
    uint64_t reserved_bytes;       /* the file's size as we left it */
    bool is_reserve_short;         /* told once */

    /* the reader's, under the gate */
    pthread_mutex_t gate;
    MDB_txn *reader;
    struct buf portion;

    /* as of the last commit, for any thread */
    _Atomic uint64_t message_count, shown_id_mark, used_pages, end_page, file_bytes;
};

/* ---- environment.c ---- */
must_check bool environment_open(struct store *store, struct error *error);
/* With `is_orderly` the last commit says so. */
void environment_close(struct store *store, bool is_orderly);
/* What an LMDB error means for the caller (never UNKNOWN: that is for commits); fills `error`. */
enum store_outcome environment_outcome(struct store *store, int code, const char *what,
                                       struct error *error);
void environment_tell(const struct store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Writes the self-check record into any transaction of any environment of ours. */
int environment_put_self(MDB_txn *txn, MDB_dbi dbi, struct self_record *self);
/* Reads and checks the newest commit's. */
must_check bool environment_get_self(MDB_env *env, MDB_dbi dbi, struct self_record *self,
                                     struct error *error);
/* Refreshes the atomics. */
void environment_measure(struct store *store);
/* mdb_env_create and mdb_env_open as the rules have it; NULL with `error` on failure. */
MDB_env *environment_new(const char *folder, MDB_dbi *dbi, struct error *error);

static inline MDB_val value_of_key(struct record_key *key)
{
    return (MDB_val){ key->len, key->bytes };
}
static inline struct str str_of_value(MDB_val value)
{
    return str_of(value.mv_data, value.mv_size);
}
static inline size_t pages_of_value(size_t value_bytes)
{
    return (PAGE_HEADER_BYTES + value_bytes + PAGE_BYTES - 1) / PAGE_BYTES;
}

/* ---- value.c: values that may lie in pages of their own, read without trusting the disk ---- */
/* Copies `len` bytes of the value from `offset` on; false with `error` on an I/O error. */
must_check bool value_read(const struct store *store, MDB_val value, size_t offset, size_t len,
                           char *out, struct error *error);
/* Whether the value's pages are what LMDB will take them for when it frees them. */
bool value_is_deletable(const struct store *store, MDB_val value);
/* Both in one look at the disk: the first `len` bytes (VALUE_START_MAX at most), and whether the
 * value is deletable. */
enum { VALUE_START_MAX = 64 };
must_check bool value_read_start(const struct store *store, MDB_val value, size_t len, char *out,
                                 bool *is_deletable, struct error *error);

/* ---- space.c ---- */
/* Extends the file so that `reserve_bytes` lie behind its last used page. Only what is there
 * counts: a full disk is no failure. */
void space_reserve(struct store *store);

/* ---- sweep.c ---- */
/* Removes chunks without a message. Outside a batch. */
must_check bool sweep_orphans(struct store *store, struct error *error);

/* ---- rescue.c ---- */
/* Replaces the damaged file by a new one with all that can still be read; keeps the old one beside
 * it. `error` says what the damage is, and on failure also why that was not possible. */
must_check bool rescue_queue(struct store *store, int damaged_fd, const char *path,
                             struct error *error);
