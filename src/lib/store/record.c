/* SPDX-License-Identifier: Apache-2.0 */
#include "store/record.h"

#include "store/crc32c.h"

#include <endian.h>

/* Every value begins with these eight bytes; the checksum covers the type, the version and all
 * that follows the checksum itself. */
enum { TYPE_AT = 0, VERSION_AT = 1, FLAGS_AT = 2, CRC_AT = 4, BODY_AT = 8 };

static void put_u64(char *out, uint64_t value)
{
    value = htole64(value);
    memcpy(out, &value, sizeof value);
}

static void put_u32(char *out, uint32_t value)
{
    value = htole32(value);
    memcpy(out, &value, sizeof value);
}

static uint64_t get_u64(const char *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return le64toh(value);
}

static uint32_t get_u32(const char *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof value);
    return le32toh(value);
}

static void put_prefix(char *out, enum record_type type, uint8_t flags)
{
    out[TYPE_AT] = (char)type;
    out[VERSION_AT] = RECORD_VERSION;
    out[FLAGS_AT] = (char)flags;
    out[FLAGS_AT + 1] = 0;
}

static bool prefix_is(struct str value, enum record_type type)
{
    return value.ptr[TYPE_AT] == (char)type && value.ptr[VERSION_AT] == RECORD_VERSION;
}

static uint32_t value_crc(struct str value)
{
    uint32_t crc = crc32c(0, str_of(value.ptr, CRC_AT));

    return crc32c(crc, str_of(value.ptr + BODY_AT, value.len - BODY_AT));
}

/* ---- keys: big-endian, so that they sort as numbers ---- */

static void key_put_u64(struct record_key *key, uint64_t value)
{
    value = htobe64(value);
    memcpy(key->bytes + key->len, &value, sizeof value);
    key->len += sizeof value;
}

static uint64_t key_get_u64(struct str key, size_t offset)
{
    uint64_t value;

    memcpy(&value, key.ptr + offset, sizeof value);
    return be64toh(value);
}

static bool key_is(struct str key, enum record_type type, size_t len)
{
    return key.len == len && key.ptr[0] == (char)type;
}

struct record_key record_key_message(enum record_type type, uint64_t queue_id)
{
    struct record_key key = { .bytes = { (uint8_t)type }, .len = 1 };

    key_put_u64(&key, queue_id);
    return key;
}

struct record_key record_key_chunk(uint64_t queue_id, uint32_t index)
{
    struct record_key key = record_key_message(RECORD_CHUNK, queue_id);

    index = htobe32(index);
    memcpy(key.bytes + key.len, &index, sizeof index);
    key.len += sizeof index;
    return key;
}

/* With its sign bit inverted a signed number sorts as an unsigned one. */
struct record_key record_key_due(int64_t due_ms, uint64_t queue_id)
{
    struct record_key key = record_key_message(RECORD_DUE, (uint64_t)due_ms ^ 1ull << 63);

    key_put_u64(&key, queue_id);
    return key;
}

struct record_key record_key_self(void)
{
    return (struct record_key){ .bytes = { RECORD_SELF }, .len = 1 };
}

bool record_key_parse_message(enum record_type type, struct str key, uint64_t *queue_id)
{
    if (!key_is(key, type, 9))
        return false;
    *queue_id = key_get_u64(key, 1);
    return true;
}

bool record_key_parse_chunk(struct str key, uint64_t *queue_id, uint32_t *index)
{
    if (!key_is(key, RECORD_CHUNK, 13))
        return false;
    *queue_id = key_get_u64(key, 1);
    memcpy(index, key.ptr + 9, sizeof *index);
    *index = be32toh(*index);
    return true;
}

bool record_key_parse_due(struct str key, int64_t *due_ms, uint64_t *queue_id)
{
    if (!key_is(key, RECORD_DUE, 17))
        return false;
    *due_ms = (int64_t)(key_get_u64(key, 1) ^ 1ull << 63);
    *queue_id = key_get_u64(key, 9);
    return true;
}

/* ---- messages ---- */

size_t message_record_bytes(const struct message_record *record)
{
    return MESSAGE_HEADER_BYTES + record->envelope.len + record->content.len;
}

void message_record_write(enum record_type type, const struct message_record *record, char *out)
{
    size_t head_len = MESSAGE_HEADER_BYTES + record->envelope.len;

    put_prefix(out, type, 0);
    put_u64(out + 8, record->queue_id);
    put_u64(out + 16, (uint64_t)record->due_ms);
    put_u32(out + 24, record->chunk_count);
    put_u32(out + 28, (uint32_t)record->envelope.len);
    put_u32(out + 32, (uint32_t)record->content.len);
    put_u32(out + 36, crc32c(0, record->content));
    memcpy(out + MESSAGE_HEADER_BYTES, record->envelope.ptr, record->envelope.len);
    if (record->content.len > 0)
        memcpy(out + head_len, record->content.ptr, record->content.len);
    put_u32(out + CRC_AT, value_crc(str_of(out, head_len)));
}

bool message_header_parse(enum record_type type, uint64_t queue_id, struct str head,
                          size_t value_bytes, struct message_header *header)
{
    if (head.len < MESSAGE_HEADER_BYTES || value_bytes < MESSAGE_HEADER_BYTES ||
        !prefix_is(head, type))
        return false;
    *header = (struct message_header){
        .queue_id = get_u64(head.ptr + 8),
        .due_ms = (int64_t)get_u64(head.ptr + 16),
        .chunk_count = get_u32(head.ptr + 24),
        .envelope_len = get_u32(head.ptr + 28),
        .content_len = get_u32(head.ptr + 32),
        .content_crc = get_u32(head.ptr + 36),
        .crc = get_u32(head.ptr + CRC_AT),
    };
    return header->queue_id == queue_id &&
           (uint64_t)MESSAGE_HEADER_BYTES + header->envelope_len + header->content_len ==
               value_bytes;
}

bool message_envelope_is_sound(const struct message_header *header, struct str head)
{
    return head.len == (size_t)MESSAGE_HEADER_BYTES + header->envelope_len &&
           value_crc(head) == header->crc;
}

bool message_content_is_sound(const struct message_header *header, struct str content)
{
    return content.len == header->content_len && crc32c(0, content) == header->content_crc;
}

/* ---- the others ---- */

void chunk_record_write(uint64_t queue_id, uint32_t index, struct str bytes, char *out)
{
    put_prefix(out, RECORD_CHUNK, 0);
    put_u64(out + 8, queue_id);
    put_u32(out + 16, index);
    put_u32(out + 20, (uint32_t)bytes.len);
    memcpy(out + CHUNK_HEADER_BYTES, bytes.ptr, bytes.len);
    put_u32(out + CRC_AT, value_crc(str_of(out, CHUNK_HEADER_BYTES + bytes.len)));
}

bool chunk_record_parse(uint64_t queue_id, uint32_t index, struct str value, struct str *bytes)
{
    if (value.len < CHUNK_HEADER_BYTES || !prefix_is(value, RECORD_CHUNK) ||
        get_u64(value.ptr + 8) != queue_id || get_u32(value.ptr + 16) != index ||
        get_u32(value.ptr + 20) != value.len - CHUNK_HEADER_BYTES ||
        get_u32(value.ptr + CRC_AT) != value_crc(value))
        return false;
    *bytes = str_skip(value, CHUNK_HEADER_BYTES);
    return true;
}

static uint32_t due_crc(struct str key, const char *value)
{
    return crc32c(crc32c(0, str_of(value, CRC_AT)), key);
}

void due_record_write(const struct record_key *key, char *out)
{
    put_prefix(out, RECORD_DUE, 0);
    put_u32(out + CRC_AT, due_crc(str_of((const char *)key->bytes, key->len), out));
}

bool due_record_is_sound(struct str key, struct str value)
{
    return value.len == DUE_RECORD_BYTES && prefix_is(value, RECORD_DUE) &&
           get_u32(value.ptr + CRC_AT) == due_crc(key, value.ptr);
}

void self_record_write(const struct self_record *self, char *out)
{
    put_prefix(out, RECORD_SELF, self->is_closed);
    put_u64(out + 8, self->transaction);
    put_u64(out + 16, self->commit);
    put_u64(out + 24, self->message_count);
    put_u64(out + 32, self->id_mark);
    put_u64(out + 40, 0);
    put_u32(out + CRC_AT, value_crc(str_of(out, SELF_RECORD_BYTES)));
}

bool self_record_parse(struct str value, struct self_record *self)
{
    if (value.len != SELF_RECORD_BYTES || !prefix_is(value, RECORD_SELF) ||
        get_u32(value.ptr + CRC_AT) != value_crc(value))
        return false;
    *self = (struct self_record){
        .transaction = get_u64(value.ptr + 8),
        .commit = get_u64(value.ptr + 16),
        .message_count = get_u64(value.ptr + 24),
        .id_mark = get_u64(value.ptr + 32),
        .is_closed = value.ptr[FLAGS_AT] != 0,
    };
    return true;
}
