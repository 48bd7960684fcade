/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoding: a version byte, then the fields in the order of put_envelope; numbers
 * little-endian and of fixed size, strings with a 32-bit length in front.
 */
#include "mail/envelope.h"

#include "base/ensure.h"

#include <endian.h>

enum {
    ENCODING_VERSION = 3,
    ENCODING_OLDEST = 2, /* without verp and dsn_action: may still lie in a queue */
    RECIPIENT_BYTES_MIN = 5 * 4 + 2, /* five lengths, notify and state */
    STRING_BYTES_MAX = 1 << 20,
    CAPACITY_FIRST = 4,
    DSN_NOTIFY_ALL = DSN_NOTIFY_NEVER | DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY,
};

struct recipient *envelope_add_recipient(struct arena *arena, struct envelope *envelope,
                                         const struct recipient *recipient)
{
    if (envelope->recipient_count == envelope->recipient_capacity) {
        size_t capacity =
            envelope->recipient_capacity > 0 ? envelope->recipient_capacity * 2 : CAPACITY_FIRST;
        struct recipient *larger = arena_new_array(arena, capacity, sizeof *larger);
        if (envelope->recipient_count > 0)
            memcpy(larger, envelope->recipients, envelope->recipient_count * sizeof *larger);
        envelope->recipients = larger;
        envelope->recipient_capacity = capacity;
    }
    struct recipient *added = &envelope->recipients[envelope->recipient_count++];
    *added = *recipient;
    added->address = arena_copy(arena, recipient->address);
    added->original_recipient = arena_copy(arena, recipient->original_recipient);
    added->dsn_orcpt = arena_copy(arena, recipient->dsn_orcpt);
    added->dsn_status = arena_copy(arena, recipient->dsn_status);
    added->diagnostic = arena_copy(arena, recipient->diagnostic);
    return added;
}

uint8_t envelope_notify_without_success(uint8_t notify)
{
    return notify == DSN_NOTIFY_SUCCESS ? DSN_NOTIFY_NEVER
                                        : notify & (uint8_t)~DSN_NOTIFY_SUCCESS;
}

size_t envelope_waiting_count(const struct envelope *envelope)
{
    size_t count = 0;

    for (size_t i = 0; i < envelope->recipient_count; i++)
        count += envelope->recipients[i].state == RECIPIENT_WAITING;
    return count;
}

/* ---- out ---- */

static void put_u8(struct buf *out, uint8_t value)
{
    buf_append_byte(out, (char)value);
}

static void put_u32(struct buf *out, uint32_t value)
{
    value = htole32(value);
    buf_append(out, str_of((const char *)&value, sizeof value));
}

static void put_u64(struct buf *out, uint64_t value)
{
    value = htole64(value);
    buf_append(out, str_of((const char *)&value, sizeof value));
}

static void put_str(struct buf *out, struct str text)
{
    ensure(text.len <= STRING_BYTES_MAX);
    put_u32(out, (uint32_t)text.len);
    buf_append(out, text);
}

static void put_recipient(struct buf *out, const struct recipient *recipient)
{
    put_str(out, recipient->address);
    put_str(out, recipient->original_recipient);
    put_str(out, recipient->dsn_orcpt);
    put_u8(out, recipient->dsn_notify);
    put_u8(out, recipient->state);
    put_u8(out, recipient->dsn_action);
    put_str(out, recipient->dsn_status);
    put_str(out, recipient->diagnostic);
}

void envelope_encode(const struct envelope *envelope, struct buf *out)
{
    put_u8(out, ENCODING_VERSION);
    put_str(out, envelope->sender);
    put_u32(out, envelope->flags);
    put_u64(out, (uint64_t)envelope->arrival_us);
    put_u64(out, envelope->size_bytes);
    put_u64(out, envelope->content_bytes);
    put_str(out, envelope->dsn_envid);
    put_str(out, envelope->client_name);
    put_str(out, envelope->client_address);
    put_str(out, envelope->helo_name);
    put_str(out, envelope->protocol);
    put_str(out, envelope->sasl_username);
    put_str(out, envelope->filter);
    put_str(out, envelope->verp);
    put_u64(out, (uint64_t)envelope->next_attempt_ms);
    put_u32(out, envelope->attempts);
    put_u32(out, (uint32_t)envelope->recipient_count);
    for (size_t i = 0; i < envelope->recipient_count; i++)
        put_recipient(out, &envelope->recipients[i]);
}

/* ---- in ---- */

struct reader {
    struct str rest;
    uint8_t version;
    bool is_bad; /* stays set: the caller looks once, at the end */
};

static struct str get_bytes(struct reader *reader, size_t len)
{
    if (reader->is_bad || len > reader->rest.len) {
        reader->is_bad = true;
        return STR("");
    }
    struct str bytes = str_take(reader->rest, len);
    reader->rest = str_skip(reader->rest, len);
    return bytes;
}

static uint8_t get_u8(struct reader *reader)
{
    struct str bytes = get_bytes(reader, 1);

    return bytes.len == 1 ? (uint8_t)bytes.ptr[0] : 0;
}

static uint32_t get_u32(struct reader *reader)
{
    uint32_t value = 0;
    struct str bytes = get_bytes(reader, sizeof value);

    memcpy(&value, bytes.ptr, bytes.len);
    return le32toh(value);
}

static uint64_t get_u64(struct reader *reader)
{
    uint64_t value = 0;
    struct str bytes = get_bytes(reader, sizeof value);

    memcpy(&value, bytes.ptr, bytes.len);
    return le64toh(value);
}

/* Text that will stand in commands, headers and logs: a control character in it is damage or an
 * attack. */
static struct str get_str(struct reader *reader)
{
    uint32_t len = get_u32(reader);
    struct str text = get_bytes(reader, len);

    if (len > STRING_BYTES_MAX)
        reader->is_bad = true;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            reader->is_bad = true;
    return text;
}

static void get_recipient(struct reader *reader, struct recipient *recipient)
{
    recipient->address = get_str(reader);
    recipient->original_recipient = get_str(reader);
    recipient->dsn_orcpt = get_str(reader);
    recipient->dsn_notify = get_u8(reader);
    recipient->state = get_u8(reader);
    recipient->dsn_action = reader->version > ENCODING_OLDEST ? get_u8(reader) : DSN_ACTION_NONE;
    recipient->dsn_status = get_str(reader);
    recipient->diagnostic = get_str(reader);
    if (recipient->dsn_notify > DSN_NOTIFY_ALL || recipient->state > RECIPIENT_UNREPORTED ||
        recipient->dsn_action > DSN_ACTION_LAST)
        reader->is_bad = true;
}

static void get_envelope(struct reader *reader, struct envelope *envelope)
{
    envelope->sender = get_str(reader);
    envelope->flags = get_u32(reader);
    envelope->arrival_us = (int64_t)get_u64(reader);
    envelope->size_bytes = get_u64(reader);
    envelope->content_bytes = get_u64(reader);
    envelope->dsn_envid = get_str(reader);
    envelope->client_name = get_str(reader);
    envelope->client_address = get_str(reader);
    envelope->helo_name = get_str(reader);
    envelope->protocol = get_str(reader);
    envelope->sasl_username = get_str(reader);
    envelope->filter = get_str(reader);
    envelope->verp = reader->version > ENCODING_OLDEST ? get_str(reader) : STR("");
    envelope->next_attempt_ms = (int64_t)get_u64(reader);
    envelope->attempts = get_u32(reader);
    envelope->recipient_count = get_u32(reader);
}

bool envelope_decode(struct arena *arena, struct str bytes, struct envelope *envelope,
                     struct error *error)
{
    struct reader reader = { .rest = bytes };

    reader.version = get_u8(&reader);
    *envelope = (struct envelope){ 0 };
    if (reader.version < ENCODING_OLDEST || reader.version > ENCODING_VERSION)
        return error_set(error, "envelope of version %u, not %d", reader.version,
                         ENCODING_VERSION);
    get_envelope(&reader, envelope);
    if (reader.is_bad || envelope->recipient_count > reader.rest.len / RECIPIENT_BYTES_MIN)
        return error_set(error, "malformed envelope");
    envelope->recipients =
        arena_new_array(arena, envelope->recipient_count + 1, sizeof *envelope->recipients);
    envelope->recipient_capacity = envelope->recipient_count + 1;
    for (size_t i = 0; i < envelope->recipient_count && !reader.is_bad; i++)
        get_recipient(&reader, &envelope->recipients[i]);
    if (reader.is_bad || reader.rest.len > 0)
        return error_set(error, "malformed envelope");
    return true;
}
