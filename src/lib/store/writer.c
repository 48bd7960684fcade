/* SPDX-License-Identifier: Apache-2.0 */
#include "store/environment.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/memory.h"

#include <errno.h>

/* What a change costs beside the pages of its value: a leaf and its share of the branches. */
enum { PAGES_PER_CHANGE = 2 };

static bool is_spoilt(enum store_outcome outcome)
{
    return outcome == STORE_FULL || outcome == STORE_FAILED;
}

static bool find(struct store *store, struct record_key key, MDB_val *value, int *code)
{
    MDB_val key_value = value_of_key(&key);

    *code = mdb_get(store->batch, store->dbi, &key_value, value);
    return *code == MDB_SUCCESS;
}

static bool exists(struct store *store, struct record_key key)
{
    MDB_val value;
    int code;

    return find(store, key, &value, &code);
}

/* Makes room for a value of this size under the key, to be written by the caller. */
static enum store_outcome put(struct store *store, struct record_key key, size_t value_bytes,
                              unsigned flags, char **room, struct error *error)
{
    MDB_val key_value = value_of_key(&key);
    MDB_val value = { value_bytes, NULL };
    size_t pages = PAGES_PER_CHANGE + pages_of_value(value_bytes);

    if (store->batch_pages + pages > BATCH_PAGES_MAX) {
        error_set(error, "the batch is too large");
        return STORE_FULL;
    }
    int code = mdb_put(store->batch, store->dbi, &key_value, &value, flags | MDB_RESERVE);
    if (code == MDB_KEYEXIST)
        return STORE_EXISTS;
    store->batch_pages += pages;
    *room = value.mv_data;
    return environment_outcome(store, code, "write to the queue", error);
}

/* Of a value in a leaf, or one that is known to be deletable. */
static enum store_outcome remove_sound_key(struct store *store, struct record_key key,
                                           struct error *error)
{
    MDB_val key_value = value_of_key(&key);

    store->batch_pages += PAGES_PER_CHANGE;
    int code = mdb_del(store->batch, store->dbi, &key_value, NULL);
    return environment_outcome(store, code, "remove from the queue", error);
}

static enum store_outcome remove_key(struct store *store, struct record_key key,
                                     struct error *error)
{
    MDB_val value;
    int code;

    if (!find(store, key, &value, &code))
        return environment_outcome(store, code, "look in the queue", error);
    if (!value_is_deletable(store, value)) {
        error_set(error, "the pages of a record are damaged: it cannot be removed");
        return STORE_DAMAGED;
    }
    return remove_sound_key(store, key, error);
}

/* ---- begin and commit ---- */

/* Goes on removing the chunks of very large messages, a bounded number for each batch. */
static bool remove_leftovers(struct store *store, struct error *error)
{
    int budget = BATCH_CHUNKS_DELETED;

    while (store->leftover_count > 0 && budget > 0) {
        struct leftover *last = &store->leftovers[store->leftover_count - 1];

        for (; last->next < last->end && budget > 0; last->next++, budget--) {
            enum store_outcome outcome =
                remove_key(store, record_key_chunk(last->queue_id, last->next), error);
            if (is_spoilt(outcome))
                return false;
            if (outcome == STORE_ABSENT)
                last->end = last->next + 1;
        }
        if (last->next == last->end)
            store->leftover_count--;
    }
    store->leftovers_before_batch = store->leftover_count;
    return true;
}

bool store_begin(struct store *store, struct error *error)
{
    ensure(store->batch == NULL);
    if (store->env == NULL)
        return error_set(error, "the queue is closed");
    int code = mdb_txn_begin(store->env, NULL, 0, &store->batch);
    if (code != MDB_SUCCESS) {
        store->batch = NULL;
        return error_set(error, "begin a change of the queue: %s", mdb_strerror(code));
    }
    store->batch_pages = 0;
    store->batch_started_ms = clock_monotonic_ms();
    store->next = store->self;
    store->next.commit++;
    store->next.is_closed = false;
    store->next.id_mark = store->id_mark;
    if (remove_leftovers(store, error))
        return true;
    store_abort(store);
    return false;
}

void store_abort(struct store *store)
{
    if (store->batch == NULL)
        return;
    mdb_txn_abort(store->batch);
    store->batch = NULL;
    store->leftover_count = store->leftovers_before_batch;
}

/* After a failure to write the meta page LMDB refuses every further transaction, and whether the
 * commit is on disk is anybody's guess; after any other failure it is certain that it is not. */
static bool is_in_doubt(struct store *store)
{
    MDB_txn *probe;
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &probe);

    if (code == MDB_SUCCESS)
        mdb_txn_abort(probe);
    return code == MDB_PANIC;
}

enum store_outcome store_commit(struct store *store, struct error *error)
{
    ensure(store->batch != NULL);
    store->tried_commit = store->next.commit;
    int code = environment_put_self(store->batch, store->dbi, &store->next);
    if (code != MDB_SUCCESS) {
        store_abort(store);
        return environment_outcome(store, code, "write to the queue", error);
    }
    code = mdb_txn_commit(store->batch);
    store->batch = NULL;
    if (code == MDB_SUCCESS) {
        store->self = store->next;
        environment_measure(store);
        space_reserve(store);
        return STORE_OK;
    }
    enum store_outcome outcome = environment_outcome(store, code, "commit to the queue", error);
    return is_in_doubt(store) ? STORE_UNKNOWN : outcome;
}

bool store_batch_is_full(const struct store *store)
{
    return store->batch_pages >= BATCH_PAGES ||
           clock_monotonic_ms() - store->batch_started_ms >= BATCH_MS;
}

void store_set_id_mark(struct store *store, uint64_t mark)
{
    if (mark > store->id_mark)
        store->id_mark = mark;
    store->next.id_mark = store->id_mark;
}

/* ---- chunks ---- */

enum store_outcome store_put_chunk(struct store *store, uint64_t queue_id, uint32_t index,
                                   struct str bytes, struct error *error)
{
    char *room;

    ensure(bytes.len > 0 && bytes.len <= STORE_CHUNK_BYTES);
    enum store_outcome outcome = put(store, record_key_chunk(queue_id, index),
                                     CHUNK_HEADER_BYTES + bytes.len, MDB_NOOVERWRITE, &room, error);
    if (outcome == STORE_OK)
        chunk_record_write(queue_id, index, bytes, room);
    return outcome;
}

static void leave_over(struct store *store, uint64_t queue_id, uint32_t next, uint32_t end)
{
    store->leftovers =
        memory_resize(store->leftovers, (store->leftover_count + 1) * sizeof *store->leftovers);
    store->leftovers[store->leftover_count++] = (struct leftover){ queue_id, next, end };
}

/* The count may come from a damaged record, so the first that is absent ends it. A chunk that
 * cannot be removed is left; it costs its room and nothing else. */
static enum store_outcome remove_chunks(struct store *store, uint64_t queue_id, uint32_t count,
                                        struct error *error)
{
    uint32_t now = count < BATCH_CHUNKS_DELETED ? count : BATCH_CHUNKS_DELETED;

    for (uint32_t index = 0; index < now; index++) {
        enum store_outcome outcome = remove_key(store, record_key_chunk(queue_id, index), error);
        if (is_spoilt(outcome))
            return outcome;
        if (outcome == STORE_ABSENT)
            return STORE_OK;
    }
    if (now < count)
        leave_over(store, queue_id, now, count);
    return STORE_OK;
}

enum store_outcome store_drop_chunks(struct store *store, uint64_t queue_id, uint32_t count,
                                     struct error *error)
{
    if (exists(store, record_key_message(RECORD_MESSAGE, queue_id)))
        return STORE_EXISTS;
    return remove_chunks(store, queue_id, count, error);
}

/* ---- messages ---- */

static enum store_outcome put_due(struct store *store, int64_t due_ms, uint64_t queue_id,
                                  struct error *error)
{
    struct record_key key = record_key_due(due_ms, queue_id);
    char *room;
    enum store_outcome outcome = put(store, key, DUE_RECORD_BYTES, 0, &room, error);

    if (outcome == STORE_OK)
        due_record_write(&key, room);
    return outcome;
}

static enum store_outcome put_record(struct store *store, enum record_type type,
                                     const struct message_record *record, unsigned flags,
                                     struct error *error)
{
    char *room;
    enum store_outcome outcome = put(store, record_key_message(type, record->queue_id),
                                     message_record_bytes(record), flags, &room, error);

    if (outcome == STORE_OK)
        message_record_write(type, record, room);
    return outcome;
}

static bool has_chunks(struct store *store, uint64_t queue_id, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++)
        if (!exists(store, record_key_chunk(queue_id, index)))
            return false;
    return true;
}

/* Content that does not fit beside the envelope becomes chunks too, from its front. */
static enum store_outcome put_front(struct store *store, struct message_record *record,
                                    struct error *error)
{
    while (record->content.len > STORE_CHUNK_BYTES ||
           (record->content.len > 0 && message_record_bytes(record) > RECORD_PAGES_MAX_BYTES)) {
        enum store_outcome outcome =
            store_put_chunk(store, record->queue_id, record->chunk_count,
                            str_take(record->content, STORE_CHUNK_BYTES), error);
        if (outcome != STORE_OK)
            return outcome;
        record->content = str_skip(record->content, STORE_CHUNK_BYTES);
        record->chunk_count++;
    }
    return STORE_OK;
}

enum store_outcome store_put_message(struct store *store, const struct store_message *message,
                                     struct error *error)
{
    struct message_record record = {
        .queue_id = message->queue_id,
        .due_ms = message->due_ms,
        .chunk_count = message->chunk_count,
        .envelope = message->envelope,
        .content = message->content,
    };

    ensure(message->envelope.len < UINT32_MAX && message->content.len <= STORE_INLINE_MAX);
    if (exists(store, record_key_message(RECORD_MESSAGE, message->queue_id)))
        return STORE_EXISTS;
    if (!has_chunks(store, message->queue_id, message->chunk_count)) {
        error_set(error, "a part of the message's content is missing");
        return STORE_ABSENT;
    }
    enum store_outcome outcome = put_front(store, &record, error);
    if (outcome == STORE_OK)
        outcome = put_record(store, RECORD_MESSAGE, &record, MDB_NOOVERWRITE, error);
    if (outcome == STORE_OK)
        outcome = put_due(store, record.due_ms, record.queue_id, error);
    if (outcome == STORE_OK)
        store->next.message_count++;
    return outcome;
}

/* Only the header is read, and not the checksum: what it names is checked where it is used. */
static enum store_outcome read_header(struct store *store, enum record_type type, uint64_t queue_id,
                                      struct message_header *header, bool *is_deletable,
                                      struct error *error)
{
    char head[MESSAGE_HEADER_BYTES];
    MDB_val value;
    int code;

    if (!find(store, record_key_message(type, queue_id), &value, &code))
        return environment_outcome(store, code, "look in the queue", error);
    if (value.mv_size < sizeof head ||
        !value_read_start(store, value, sizeof head, head, is_deletable, error) ||
        !message_header_parse(type, queue_id, str_of(head, sizeof head), value.mv_size, header)) {
        error_set(error, "the message's record is damaged");
        return STORE_DAMAGED;
    }
    return STORE_OK;
}

/* What is to be known of a message to change or remove it. */
struct standing {
    struct message_header header; /* of the record as accepted */
    bool is_deletable;            /* that record */
    bool has_update;
    int64_t due_ms; /* where it stands in the schedule */
};

static enum store_outcome read_standing(struct store *store, uint64_t queue_id,
                                        struct standing *standing, struct error *error)
{
    struct message_header update;
    bool ignored;
    enum store_outcome outcome = read_header(store, RECORD_MESSAGE, queue_id, &standing->header,
                                             &standing->is_deletable, error);

    standing->has_update = false;
    if (outcome != STORE_OK)
        return outcome;
    standing->due_ms = standing->header.due_ms;
    outcome = read_header(store, RECORD_UPDATE, queue_id, &update, &ignored, error);
    if (outcome == STORE_ABSENT)
        return STORE_OK;
    standing->has_update = true;
    if (outcome == STORE_OK)
        standing->due_ms = update.due_ms;
    return outcome;
}

/* A damaged message does not know when it is due. */
static enum store_outcome find_due(struct store *store, uint64_t queue_id, int64_t *due_ms,
                                   struct error *error)
{
    struct record_key first = record_key_due(INT64_MIN, 0);
    MDB_val key = value_of_key(&first), value;
    MDB_cursor *cursor;
    uint64_t found_id;
    int code = mdb_cursor_open(store->batch, store->dbi, &cursor);

    if (code != MDB_SUCCESS)
        return environment_outcome(store, code, "look in the queue", error);
    code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (code == MDB_SUCCESS) {
        if (!record_key_parse_due(str_of_value(key), due_ms, &found_id))
            code = MDB_NOTFOUND;
        else if (found_id == queue_id)
            break;
        else
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return environment_outcome(store, code, "look in the queue", error);
}

static enum store_outcome remove_due(struct store *store, int64_t due_ms, uint64_t queue_id,
                                     struct error *error)
{
    enum store_outcome outcome = remove_sound_key(store, record_key_due(due_ms, queue_id), error);

    if (outcome != STORE_ABSENT)
        return outcome;
    outcome = find_due(store, queue_id, &due_ms, error);
    return outcome == STORE_OK ? remove_sound_key(store, record_key_due(due_ms, queue_id), error)
                               : outcome;
}

enum store_outcome store_update_message(struct store *store, uint64_t queue_id, struct str envelope,
                                        int64_t due_ms, struct error *error)
{
    struct message_record record = { queue_id, due_ms, 0, envelope, STR("") };
    struct standing standing;
    enum store_outcome outcome = read_standing(store, queue_id, &standing, error);

    if (outcome != STORE_OK)
        return outcome;
    outcome = put_record(store, RECORD_UPDATE, &record, 0, error);
    if (outcome != STORE_OK || standing.due_ms == due_ms)
        return outcome;
    outcome = remove_due(store, standing.due_ms, queue_id, error);
    return is_spoilt(outcome) ? outcome : put_due(store, due_ms, queue_id, error);
}

static enum store_outcome remove_records(struct store *store, uint64_t queue_id,
                                         const struct standing *standing, struct error *error)
{
    struct record_key key = record_key_message(RECORD_MESSAGE, queue_id);
    enum store_outcome outcome = standing->is_deletable ? remove_sound_key(store, key, error)
                                                        : remove_key(store, key, error);

    if (outcome != STORE_OK)
        return outcome;
    store->next.message_count--;
    outcome = remove_due(store, standing->due_ms, queue_id, error);
    if (is_spoilt(outcome))
        return outcome;
    if (standing->has_update)
        outcome = remove_key(store, record_key_message(RECORD_UPDATE, queue_id), error);
    return is_spoilt(outcome) ? outcome : STORE_OK;
}

static uint32_t count_chunks(struct store *store, uint64_t queue_id)
{
    uint32_t count = 0;

    while (exists(store, record_key_chunk(queue_id, count)))
        count++;
    return count;
}

static enum store_outcome delete_damaged(struct store *store, uint64_t queue_id,
                                         struct error *error)
{
    const struct standing unknown = { .has_update = true };
    uint32_t chunk_count = count_chunks(store, queue_id);
    enum store_outcome outcome = remove_records(store, queue_id, &unknown, error);
    return outcome == STORE_OK ? remove_chunks(store, queue_id, chunk_count, error) : outcome;
}

enum store_outcome store_delete_message(struct store *store, uint64_t queue_id, struct error *error)
{
    struct standing standing;
    enum store_outcome outcome = read_standing(store, queue_id, &standing, error);

    if (outcome == STORE_DAMAGED)
        return delete_damaged(store, queue_id, error);
    if (outcome == STORE_OK)
        outcome = remove_records(store, queue_id, &standing, error);
    if (outcome == STORE_OK)
        outcome = remove_chunks(store, queue_id, standing.header.chunk_count, error);
    return outcome;
}
