/* SPDX-License-Identifier: Apache-2.0 */
#include "store/environment.h"

#include "base/memory.h"
#include "store/structure.h"

#include <stdio.h>

struct verification {
    struct store *store;
    MDB_txn *txn;
    void (*problem)(void *argument, const char *text);
    void *argument;
    size_t problem_count;
    size_t message_count, due_count;
};

__attribute__((format(printf, 2, 3))) static void tell(struct verification *verification,
                                                       const char *format, ...)
{
    struct error text;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text.message, sizeof text.message, format, arguments);
    va_end(arguments);
    verification->problem_count++;
    if (verification->problem != NULL)
        verification->problem(verification->argument, text.message);
}

static bool exists(struct verification *verification, struct record_key key)
{
    MDB_val key_value = value_of_key(&key), value;

    return mdb_get(verification->txn, verification->store->dbi, &key_value, &value) == MDB_SUCCESS;
}

/* The whole value, copied; NULL (and told) when it cannot be read. */
static char *copy_value(struct verification *verification, MDB_val value)
{
    struct error error;
    char *copy = memory_new(value.mv_size);

    if (!value_is_deletable(verification->store, value))
        tell(verification, "the pages of a record of %zu bytes are damaged", value.mv_size);
    if (value_read(verification->store, value, 0, value.mv_size, copy, &error))
        return copy;
    tell(verification, "%s", error.message);
    memory_free(copy);
    return NULL;
}

static bool is_sound_message(enum record_type type, uint64_t queue_id, struct str bytes,
                             struct message_header *header)
{
    if (!message_header_parse(type, queue_id, bytes, bytes.len, header))
        return false;
    size_t head_len = MESSAGE_HEADER_BYTES + header->envelope_len;
    return message_envelope_is_sound(header, str_take(bytes, head_len)) &&
           message_content_is_sound(header, str_skip(bytes, head_len));
}

/* The schedule has the message at the time of its newest record. */
static void check_message(struct verification *verification, enum record_type type,
                          uint64_t queue_id, struct str bytes)
{
    unsigned long long id = queue_id;
    struct message_header header;

    if (!is_sound_message(type, queue_id, bytes, &header)) {
        tell(verification, "message %llx: record %c is damaged", id, type);
        return;
    }
    for (uint32_t index = 0; index < header.chunk_count; index++)
        if (!exists(verification, record_key_chunk(queue_id, index)))
            tell(verification, "message %llx: piece %u of its content is missing", id, index);
    bool is_newest =
        type == RECORD_UPDATE || !exists(verification, record_key_message(RECORD_UPDATE, queue_id));
    if (is_newest && !exists(verification, record_key_due(header.due_ms, queue_id)))
        tell(verification, "message %llx is not in the schedule", id);
    if (type == RECORD_UPDATE &&
        !exists(verification, record_key_message(RECORD_MESSAGE, queue_id)))
        tell(verification, "an update of %llx has no message", id);
}

static void check_chunk(struct verification *verification, struct str key, struct str value)
{
    uint64_t queue_id = 0;
    uint32_t index = 0;
    struct str bytes;

    if (!record_key_parse_chunk(key, &queue_id, &index) ||
        !chunk_record_parse(queue_id, index, value, &bytes))
        tell(verification, "message %llx: piece %u of its content is damaged",
             (unsigned long long)queue_id, index);
}

static void check_due(struct verification *verification, struct str key, struct str value)
{
    uint64_t queue_id = 0;
    int64_t due_ms;

    verification->due_count++;
    if (!record_key_parse_due(key, &due_ms, &queue_id) || !due_record_is_sound(key, value))
        tell(verification, "an entry of the schedule (%llx) is damaged",
             (unsigned long long)queue_id);
    else if (!exists(verification, record_key_message(RECORD_MESSAGE, queue_id)))
        tell(verification, "the schedule names %llx, which is not there",
             (unsigned long long)queue_id);
}

static void check_record(struct verification *verification, struct str key, struct str value)
{
    uint64_t queue_id;

    switch (key.ptr[0]) {
    case RECORD_CHUNK:
        check_chunk(verification, key, value);
        return;
    case RECORD_DUE:
        check_due(verification, key, value);
        return;
    case RECORD_MESSAGE:
    case RECORD_UPDATE:
        verification->message_count += key.ptr[0] == RECORD_MESSAGE;
        if (record_key_parse_message((enum record_type)key.ptr[0], key, &queue_id))
            check_message(verification, (enum record_type)key.ptr[0], queue_id, value);
        else
            tell(verification, "a message has an impossible key");
        return;
    case RECORD_SELF:
        return; /* checked when the store was opened */
    default:
        tell(verification, "a record is of a kind that we do not write");
    }
}

static void check_records(struct verification *verification)
{
    MDB_val key, value;
    MDB_cursor *cursor;

    if (mdb_cursor_open(verification->txn, verification->store->dbi, &cursor) != MDB_SUCCESS) {
        tell(verification, "the queue cannot be read");
        return;
    }
    for (int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); code == MDB_SUCCESS;
         code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        char *copy = copy_value(verification, value);
        if (copy != NULL)
            check_record(verification, str_of_value(key), str_of(copy, value.mv_size));
        memory_free(copy);
    }
    mdb_cursor_close(cursor);
    if (verification->message_count != verification->store->self.message_count)
        tell(verification, "there are %zu messages, but the queue counted %llu",
             verification->message_count,
             (unsigned long long)verification->store->self.message_count);
    if (verification->due_count != verification->message_count)
        tell(verification, "there are %zu messages, but %zu in the schedule",
             verification->message_count, verification->due_count);
}

static void check_pages(struct verification *verification)
{
    struct structure_report report;
    struct error error;

    if (structure_check(verification->store->data_fd, &report, &error) != STRUCTURE_SOUND)
        tell(verification, "%s", error.message);
    else if (report.unused_pages > 0)
        tell(verification, "%llu pages are neither used nor free",
             (unsigned long long)report.unused_pages);
}

size_t store_verify(struct store *store, void (*problem)(void *argument, const char *text),
                    void *argument)
{
    struct verification verification = { .store = store, .problem = problem, .argument = argument };

    if (store->env == NULL ||
        mdb_txn_begin(store->env, NULL, MDB_RDONLY, &verification.txn) != MDB_SUCCESS) {
        tell(&verification, "the queue is closed");
        return verification.problem_count;
    }
    check_pages(&verification);
    check_records(&verification);
    mdb_txn_abort(verification.txn);
    return verification.problem_count;
}
