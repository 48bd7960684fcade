/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/maildrop.h"

static const char magic[8] = { 'W', 'P', 'D', 'R', 'O', 'P', '\r', '\n' };

enum {
    VERSION = 1,
    /* offsets in the header; what is not named is zero */
    AT_VERSION = 8,
    AT_ENVELOPE_BYTES = 12,
    AT_CONTENT_BYTES = 16,
    AT_CONTENT_CRC = 24,
    AT_ENVELOPE_CRC = 28,
    AT_HEADER_CRC = 60,
};

static void put_u32(unsigned char *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get_u32(const char *bytes)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++)
        value |= (uint32_t)(unsigned char)bytes[i] << (8 * i);
    return value;
}

uint32_t maildrop_crc(uint32_t crc, struct str bytes)
{
    /* Half a byte at a time: local mail is small, and so is this table. */
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned char)bytes.ptr[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}

void maildrop_header_encode(const struct maildrop_header *header,
                            unsigned char bytes[MAILDROP_HEADER_BYTES])
{
    memset(bytes, 0, MAILDROP_HEADER_BYTES);
    memcpy(bytes, magic, sizeof magic);
    put_u32(bytes + AT_VERSION, VERSION);
    put_u32(bytes + AT_ENVELOPE_BYTES, header->envelope_bytes);
    put_u32(bytes + AT_CONTENT_BYTES, (uint32_t)header->content_bytes);
    put_u32(bytes + AT_CONTENT_BYTES + 4, (uint32_t)(header->content_bytes >> 32));
    put_u32(bytes + AT_CONTENT_CRC, header->content_crc);
    put_u32(bytes + AT_ENVELOPE_CRC, header->envelope_crc);
    put_u32(bytes + AT_HEADER_CRC, maildrop_crc(0, str_of((const char *)bytes, AT_HEADER_CRC)));
}

bool maildrop_header_decode(struct str bytes, struct maildrop_header *header, struct error *error)
{
    if (bytes.len < MAILDROP_HEADER_BYTES)
        return error_set(error, "it is shorter than a maildrop file's header");
    if (memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return error_set(error, "it is not a maildrop file");
    if (get_u32(bytes.ptr + AT_HEADER_CRC) != maildrop_crc(0, str_take(bytes, AT_HEADER_CRC)))
        return error_set(error, "its header fails the checksum");
    if (get_u32(bytes.ptr + AT_VERSION) != VERSION)
        return error_set(error, "it has version %u, this program knows version %d",
                         get_u32(bytes.ptr + AT_VERSION), VERSION);
    *header = (struct maildrop_header){
        .content_bytes = get_u32(bytes.ptr + AT_CONTENT_BYTES) |
                         (uint64_t)get_u32(bytes.ptr + AT_CONTENT_BYTES + 4) << 32,
        .envelope_bytes = get_u32(bytes.ptr + AT_ENVELOPE_BYTES),
        .content_crc = get_u32(bytes.ptr + AT_CONTENT_CRC),
        .envelope_crc = get_u32(bytes.ptr + AT_ENVELOPE_CRC),
    };
    if (header->envelope_bytes > MAILDROP_ENVELOPE_MAX || header->content_bytes > INT64_MAX / 2)
        return error_set(error, "its parts are longer than they may be");
    return true;
}

void maildrop_envelope_encode(const struct maildrop_envelope *envelope, struct buf *out)
{
    unsigned char fixed[8];

    put_u32(fixed, envelope->flags);
    put_u32(fixed + 4, (uint32_t)envelope->full_name.len);
    buf_append(out, str_of((const char *)fixed, sizeof fixed));
    buf_append(out, envelope->full_name);
    envelope_encode(&envelope->envelope, out);
}

static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
            return true;
    return false;
}

static bool text_check(struct str text, size_t max, const char *what, struct error *error)
{
    if (text.len > max)
        return error_set(error, "%s is longer than %zu bytes", what, max);
    if (has_control(text))
        return error_set(error, "%s has a control character in it", what);
    return true;
}

bool maildrop_envelope_check(const struct maildrop_envelope *envelope, struct error *error)
{
    const struct envelope *inner = &envelope->envelope;

    if (!text_check(envelope->full_name, MAILDROP_FULL_NAME_MAX, "the full name", error) ||
        !text_check(inner->sender, MAILDROP_ADDRESS_MAX, "the sender", error) ||
        !text_check(inner->dsn_envid, MAILDROP_ADDRESS_MAX, "the envelope id", error) ||
        !text_check(inner->verp, 2, "what VERP is to delimit with", error))
        return false;
    if (inner->recipient_count == 0)
        return error_set(error, "there is no recipient");
    if (inner->recipient_count > MAILDROP_RECIPIENTS_MAX)
        return error_set(error, "there are more than %d recipients", MAILDROP_RECIPIENTS_MAX);
    for (size_t i = 0; i < inner->recipient_count; i++) {
        const struct recipient *recipient = &inner->recipients[i];
        if (recipient->address.len == 0)
            return error_set(error, "a recipient is empty");
        if (!text_check(recipient->address, MAILDROP_ADDRESS_MAX, "a recipient", error) ||
            !text_check(recipient->dsn_orcpt, MAILDROP_ADDRESS_MAX, "an original recipient", error))
            return false;
    }
    return true;
}

bool maildrop_envelope_decode(struct arena *arena, struct str bytes,
                              struct maildrop_envelope *envelope, struct error *error)
{
    if (bytes.len < 8 || bytes.len > MAILDROP_ENVELOPE_MAX)
        return error_set(error, "its envelope is too short or too long");
    uint32_t full_name_len = get_u32(bytes.ptr + 4);
    envelope->flags = get_u32(bytes.ptr);
    bytes = str_skip(bytes, 8);
    if (full_name_len > bytes.len)
        return error_set(error, "its envelope is cut short");
    envelope->full_name = str_take(bytes, full_name_len);
    return envelope_decode(arena, str_skip(bytes, full_name_len), &envelope->envelope, error) &&
           maildrop_envelope_check(envelope, error);
}

void maildrop_frame_header_encode(enum maildrop_frame_kind kind, uint32_t len,
                                  unsigned char bytes[MAILDROP_FRAME_HEADER_BYTES])
{
    bytes[0] = (unsigned char)kind;
    put_u32(bytes + 1, len);
}

bool maildrop_frame_header_decode(struct str bytes, enum maildrop_frame_kind *kind, uint32_t *len)
{
    if (bytes.len != MAILDROP_FRAME_HEADER_BYTES ||
        (bytes.ptr[0] != MAILDROP_FRAME_CONTENT && bytes.ptr[0] != MAILDROP_FRAME_ENVELOPE))
        return false;
    *kind =
        bytes.ptr[0] == MAILDROP_FRAME_CONTENT ? MAILDROP_FRAME_CONTENT : MAILDROP_FRAME_ENVELOPE;
    *len = get_u32(bytes.ptr + 1);
    return *len <= MAILDROP_FRAME_MAX;
}
