/* SPDX-License-Identifier: Apache-2.0 */
#include "store/environment.h"

#include "base/ensure.h"

/* The gate is held for one short transaction at a time. */
static bool reader_begin(struct store *store)
{
    pthread_mutex_lock(&store->gate);
    int code = MDB_PANIC;
    if (store->env != NULL)
        code = store->reader != NULL ? mdb_txn_renew(store->reader)
                                     : mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->reader);
    if (code == MDB_SUCCESS)
        return true;
    pthread_mutex_unlock(&store->gate);
    return false;
}

static void reader_end(struct store *store)
{
    mdb_txn_reset(store->reader);
    pthread_mutex_unlock(&store->gate);
}

static enum store_outcome closed(struct error *error)
{
    error_set(error, "the queue cannot be read: it is being reopened after an error");
    return STORE_FAILED;
}

static enum store_outcome damaged(struct error *error, uint64_t queue_id, const char *what)
{
    error_set(error, "the %s of message %llx is damaged on disk", what,
              (unsigned long long)queue_id);
    return STORE_DAMAGED;
}

static enum store_outcome find(struct store *store, struct record_key key, MDB_val *value,
                               struct error *error)
{
    MDB_val key_value = value_of_key(&key);

    return environment_outcome(store, mdb_get(store->reader, store->dbi, &key_value, value),
                               "read from the queue", error);
}

/* Copies the header and the envelope behind what `out` holds, and checks them. */
static enum store_outcome copy_head(struct store *store, enum record_type type, uint64_t queue_id,
                                    MDB_val value, struct message_header *header, struct buf *out)
{
    struct error ignored;
    char head[MESSAGE_HEADER_BYTES];
    size_t start = out->len;

    if (value.mv_size < sizeof head || !value_read(store, value, 0, sizeof head, head, &ignored) ||
        !message_header_parse(type, queue_id, str_of(head, sizeof head), value.mv_size, header))
        return STORE_DAMAGED;
    size_t len = sizeof head + header->envelope_len;
    char *room = buf_reserve(out, len);
    if (room == NULL || !value_read(store, value, 0, len, room, &ignored))
        return STORE_DAMAGED;
    buf_commit(out, len);
    if (message_envelope_is_sound(header, str_of(out->ptr + start, len)))
        return STORE_OK;
    buf_truncate(out, start);
    return STORE_DAMAGED;
}

/* Appends header and envelope of one of the two records. */
static enum store_outcome read_head(struct store *store, enum record_type type, uint64_t queue_id,
                                    struct message_header *header, struct buf *out,
                                    struct error *error)
{
    MDB_val value;
    enum store_outcome outcome = find(store, record_key_message(type, queue_id), &value, error);

    if (outcome == STORE_OK)
        outcome = copy_head(store, type, queue_id, value, header, out);
    return outcome == STORE_DAMAGED ? damaged(error, queue_id, "envelope") : outcome;
}

/* A message without an update stands in the schedule where it was accepted. When it does not, an
 * update is lost, and the envelope as accepted would be believed: delivered recipients again. */
static enum store_outcome check_schedule(struct store *store, const struct message_header *header,
                                         struct error *error)
{
    MDB_val ignored;
    enum store_outcome outcome =
        find(store, record_key_due(header->due_ms, header->queue_id), &ignored, error);

    return outcome == STORE_ABSENT ? damaged(error, header->queue_id, "schedule") : outcome;
}

/* The newest envelope, with its header in front of it. */
static enum store_outcome read_newest_head(struct store *store, uint64_t queue_id,
                                           struct message_header *header, struct buf *out,
                                           struct error *error)
{
    MDB_val ignored;
    enum store_outcome outcome = read_head(store, RECORD_UPDATE, queue_id, header, out, error);

    if (outcome == STORE_OK)
        return find(store, record_key_message(RECORD_MESSAGE, queue_id), &ignored, error);
    if (outcome != STORE_ABSENT)
        return outcome;
    outcome = read_head(store, RECORD_MESSAGE, queue_id, header, out, error);
    return outcome == STORE_OK ? check_schedule(store, header, error) : outcome;
}

enum store_outcome store_read_envelope(struct store *store, uint64_t queue_id, struct buf *envelope,
                                       int64_t *due_ms, struct error *error)
{
    struct message_header header;

    if (!reader_begin(store))
        return closed(error);
    buf_clear(&store->portion);
    enum store_outcome outcome = read_newest_head(store, queue_id, &header, &store->portion, error);
    if (outcome == STORE_OK) {
        buf_append(envelope, str_skip(buf_str(&store->portion), MESSAGE_HEADER_BYTES));
        if (due_ms != NULL)
            *due_ms = header.due_ms;
    }
    reader_end(store);
    return outcome;
}

/* ---- content ---- */

static enum store_outcome copy_tail(struct store *store, uint64_t queue_id, struct buf *out,
                                    struct message_header *header, struct error *error)
{
    MDB_val value;
    char head[MESSAGE_HEADER_BYTES];
    enum store_outcome outcome =
        find(store, record_key_message(RECORD_MESSAGE, queue_id), &value, error);

    if (outcome != STORE_OK)
        return outcome;
    if (value.mv_size < sizeof head || !value_read(store, value, 0, sizeof head, head, error) ||
        !message_header_parse(RECORD_MESSAGE, queue_id, str_of(head, sizeof head), value.mv_size,
                              header))
        return damaged(error, queue_id, "record");
    buf_clear(out);
    char *room = buf_reserve(out, header->content_len);
    if (room == NULL || !value_read(store, value, sizeof head + header->envelope_len,
                                    header->content_len, room, error))
        return damaged(error, queue_id, "content");
    buf_commit(out, header->content_len);
    return message_content_is_sound(header, buf_str(out)) ? STORE_OK
                                                          : damaged(error, queue_id, "content");
}

static enum store_outcome copy_chunk(struct store *store, uint64_t queue_id, uint32_t index,
                                     struct buf *out, struct error *error)
{
    MDB_val value;
    struct str bytes;
    enum store_outcome outcome = find(store, record_key_chunk(queue_id, index), &value, error);

    if (outcome == STORE_ABSENT)
        return damaged(error, queue_id, "content");
    if (outcome != STORE_OK)
        return outcome;
    buf_clear(out);
    char *room = buf_reserve(out, value.mv_size);
    if (room == NULL || !value_read(store, value, 0, value.mv_size, room, error))
        return damaged(error, queue_id, "content");
    buf_commit(out, value.mv_size);
    if (!chunk_record_parse(queue_id, index, buf_str(out), &bytes))
        return damaged(error, queue_id, "content");
    buf_consume(out, CHUNK_HEADER_BYTES);
    return STORE_OK;
}

/* One step: chunk `index`, or the tail behind the last. */
static enum store_outcome read_portion(struct store *store, uint64_t queue_id, uint32_t index,
                                       uint32_t *chunk_count, struct error *error)
{
    struct message_header header;

    if (!reader_begin(store))
        return closed(error);
    enum store_outcome outcome = STORE_OK;
    if (index == 0 || index >= *chunk_count) {
        outcome = copy_tail(store, queue_id, &store->portion, &header, error);
        if (outcome == STORE_OK)
            *chunk_count = header.chunk_count;
    }
    if (outcome == STORE_OK && index < *chunk_count)
        outcome = copy_chunk(store, queue_id, index, &store->portion, error);
    reader_end(store);
    return outcome;
}

enum store_outcome store_read_content(struct store *store, uint64_t queue_id,
                                      bool (*portion)(void *argument, struct str bytes),
                                      void *argument, struct error *error)
{
    uint32_t chunk_count = 0;

    for (uint32_t index = 0; index <= chunk_count; index++) {
        enum store_outcome outcome = read_portion(store, queue_id, index, &chunk_count, error);
        if (outcome != STORE_OK)
            return outcome;
        if (store->portion.len > 0 && !portion(argument, buf_str(&store->portion)))
            return STORE_OK;
    }
    return STORE_OK;
}

/* ---- scans ---- */

/* Calls `take` for keys from `first` on until it says no. */
static void scan(struct store *store, struct record_key first,
                 bool (*take)(void *argument, struct str key), void *argument)
{
    MDB_val key = value_of_key(&first), value;
    MDB_cursor *cursor;

    if (!reader_begin(store))
        return;
    if (mdb_cursor_open(store->reader, store->dbi, &cursor) == MDB_SUCCESS) {
        int code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        while (code == MDB_SUCCESS && take(argument, str_of_value(key)))
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        mdb_cursor_close(cursor);
    }
    reader_end(store);
}

struct due_scan {
    struct store_due *found;
    size_t count, capacity;
};

static bool take_due(void *argument, struct str key)
{
    struct due_scan *scan = argument;
    struct store_due *next = &scan->found[scan->count];

    if (scan->count == scan->capacity || !record_key_parse_due(key, &next->due_ms, &next->queue_id))
        return false;
    scan->count++;
    return true;
}

size_t store_scan_due(struct store *store, struct store_due from, struct store_due *found,
                      size_t count)
{
    struct due_scan found_scan = { found, 0, count };

    scan(store, record_key_due(from.due_ms, from.queue_id), take_due, &found_scan);
    return found_scan.count;
}

struct id_scan {
    uint64_t *found;
    size_t count, capacity;
};

static bool take_id(void *argument, struct str key)
{
    struct id_scan *scan = argument;

    if (scan->count == scan->capacity ||
        !record_key_parse_message(RECORD_MESSAGE, key, &scan->found[scan->count]))
        return false;
    scan->count++;
    return true;
}

size_t store_scan_ids(struct store *store, uint64_t from, uint64_t *found, size_t count)
{
    struct id_scan found_scan = { found, 0, count };

    scan(store, record_key_message(RECORD_MESSAGE, from), take_id, &found_scan);
    return found_scan.count;
}

uint64_t store_message_count(const struct store *store)
{
    return atomic_load(&store->message_count);
}

uint64_t store_id_mark(const struct store *store)
{
    return atomic_load(&store->shown_id_mark);
}
