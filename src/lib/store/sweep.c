/* SPDX-License-Identifier: Apache-2.0 */
#include "store/environment.h"

/* What one look at the chunks found: the first that may lack its message, from a place on. */
struct orphan {
    uint64_t queue_id;
    bool is_found;
};

/* The first id >= from that has chunks; false when there is none. */
static bool next_id_with_chunks(MDB_cursor *cursor, uint64_t from, uint64_t *queue_id)
{
    struct record_key first = record_key_chunk(from, 0);
    MDB_val key = value_of_key(&first), value;
    uint32_t index;

    return mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE) == MDB_SUCCESS &&
           record_key_parse_chunk(str_of_value(key), queue_id, &index);
}

static struct orphan find_orphan(struct store *store, MDB_txn *txn, uint64_t from)
{
    struct orphan orphan = { 0 };
    MDB_cursor *cursor;

    if (mdb_cursor_open(txn, store->dbi, &cursor) != MDB_SUCCESS)
        return orphan;
    while (!orphan.is_found && next_id_with_chunks(cursor, from, &orphan.queue_id)) {
        struct record_key message = record_key_message(RECORD_MESSAGE, orphan.queue_id);
        MDB_val key = value_of_key(&message), value;

        orphan.is_found = mdb_get(txn, store->dbi, &key, &value) == MDB_NOTFOUND;
        from = orphan.queue_id + 1;
        if (from == 0)
            break;
    }
    mdb_cursor_close(cursor);
    return orphan;
}

/* Up to a bounded number of the chunks of one id; false with `error` on failure. */
static bool remove_some(struct store *store, uint64_t queue_id, size_t *removed,
                        struct error *error)
{
    struct record_key first = record_key_chunk(queue_id, 0);
    MDB_val key = value_of_key(&first), value;
    MDB_cursor *cursor;
    uint64_t found_id;
    uint32_t index;
    int code = mdb_cursor_open(store->batch, store->dbi, &cursor);

    if (code != MDB_SUCCESS)
        return error_set(error, "sweep the queue: %s", mdb_strerror(code));
    code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    for (*removed = 0; code == MDB_SUCCESS && *removed < BATCH_CHUNKS_DELETED; (*removed)++) {
        if (!record_key_parse_chunk(str_of_value(key), &found_id, &index) || found_id != queue_id ||
            !value_is_deletable(store, value))
            break;
        code = mdb_cursor_del(cursor, 0);
        if (code == MDB_SUCCESS)
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return code == MDB_SUCCESS || code == MDB_NOTFOUND ||
           error_set(error, "sweep the queue: %s", mdb_strerror(code));
}

/* Several ids may share a batch; one id may need several. */
static bool sweep_batch(struct store *store, uint64_t *from, size_t *swept, bool *is_done,
                        struct error *error)
{
    size_t removed = 0;

    if (!store_begin(store, error))
        return false;
    for (size_t total = 0; total < BATCH_CHUNKS_DELETED; total += removed) {
        struct orphan orphan = find_orphan(store, store->batch, *from);
        *is_done = !orphan.is_found;
        if (*is_done)
            break;
        if (!remove_some(store, orphan.queue_id, &removed, error)) {
            store_abort(store);
            return false;
        }
        *swept += removed;
        *from = orphan.queue_id + (removed < BATCH_CHUNKS_DELETED);
    }
    return store_commit(store, error) == STORE_OK;
}

bool sweep_orphans(struct store *store, struct error *error)
{
    uint64_t from = 0;
    size_t swept = 0;
    bool is_done = false;
    MDB_txn *txn;
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

    if (code != MDB_SUCCESS)
        return error_set(error, "sweep the queue: %s", mdb_strerror(code));
    is_done = !find_orphan(store, txn, 0).is_found;
    mdb_txn_abort(txn);
    while (!is_done)
        if (!sweep_batch(store, &from, &swept, &is_done, error))
            return error_context(error, "sweep content without a message");
    if (swept > 0)
        environment_tell(store, "removed %zu pieces of content that never became a message", swept);
    return true;
}
