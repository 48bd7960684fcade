/* SPDX-License-Identifier: Apache-2.0 */
/* The store's records and keys: first the length of the key, then the key, then the value. What is
 * believed must survive being written again. */
#include "base/ensure.h"
#include "base/memory.h"
#include "store/record.h"

static void try_message(enum record_type type, uint64_t queue_id, struct str value)
{
    struct message_header header;

    if (!message_header_parse(type, queue_id, value, value.len, &header))
        return;
    size_t head_len = MESSAGE_HEADER_BYTES + (size_t)header.envelope_len;
    struct message_record record = {
        .queue_id = queue_id,
        .due_ms = header.due_ms,
        .chunk_count = header.chunk_count,
        .envelope = str_take(str_skip(value, MESSAGE_HEADER_BYTES), header.envelope_len),
        .content = str_skip(value, head_len),
    };
    bool is_sound = message_envelope_is_sound(&header, str_take(value, head_len)) &&
                    message_content_is_sound(&header, record.content);
    ensure(message_record_bytes(&record) == value.len);
    char *copy = memory_new(value.len);
    message_record_write(type, &record, copy);
    struct message_header again;
    ensure(message_header_parse(type, queue_id, str_of(copy, value.len), value.len, &again));
    ensure(message_envelope_is_sound(&again, str_of(copy, head_len)));
    ensure(message_content_is_sound(&again, record.content));
    ensure(!is_sound || again.crc == header.crc);
    memory_free(copy);
}

static void try_key(struct str key, struct str value)
{
    uint64_t queue_id;
    uint32_t index;
    int64_t due_ms;
    struct str bytes;

    if (record_key_parse_message(RECORD_MESSAGE, key, &queue_id))
        try_message(RECORD_MESSAGE, queue_id, value);
    if (record_key_parse_message(RECORD_UPDATE, key, &queue_id))
        try_message(RECORD_UPDATE, queue_id, value);
    if (record_key_parse_chunk(key, &queue_id, &index) &&
        chunk_record_parse(queue_id, index, value, &bytes))
        ensure(bytes.len + CHUNK_HEADER_BYTES == value.len);
    if (record_key_parse_due(key, &due_ms, &queue_id)) {
        struct record_key again = record_key_due(due_ms, queue_id);
        ensure(again.len == key.len && memcmp(again.bytes, key.ptr, key.len) == 0);
        due_record_is_sound(key, value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = { (const char *)data, size };
    struct self_record self;

    if (size < 2)
        return 0;
    size_t key_len = data[0] % 18;
    input = str_skip(input, 1);
    struct str key = str_take(input, key_len), value = str_skip(input, key_len);
    if (key.len > 0)
        try_key(key, value);
    if (self_record_parse(value, &self)) {
        char copy[SELF_RECORD_BYTES];
        struct self_record again;
        self_record_write(&self, copy);
        ensure(self_record_parse(str_of(copy, sizeof copy), &again));
        ensure(again.commit == self.commit && again.id_mark == self.id_mark);
    }
    return 0;
}
