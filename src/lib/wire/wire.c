/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire.h"

#include "base/file.h"

#include <endian.h>

static inline void put_u8(struct buf *out, struct channel *channel, uint8_t value)
{
    (void)channel;
    buf_append_byte(out, (char)value);
}

static inline void put_u32(struct buf *out, struct channel *channel, uint32_t value)
{
    uint32_t bytes = htole32(value);

    (void)channel;
    buf_append(out, str_of((const char *)&bytes, sizeof bytes));
}

static inline void put_u64(struct buf *out, struct channel *channel, uint64_t value)
{
    uint64_t bytes = htole64(value);

    (void)channel;
    buf_append(out, str_of((const char *)&bytes, sizeof bytes));
}

static inline void put_i64(struct buf *out, struct channel *channel, int64_t value)
{
    put_u64(out, channel, (uint64_t)value);
}

static inline void put_str(struct buf *out, struct channel *channel, struct str value)
{
    put_u32(out, channel, (uint32_t)value.len);
    buf_append(out, value);
}

/* A descriptor takes no bytes of the frame. */
static inline void put_fd(struct buf *out, struct channel *channel, int value)
{
    (void)out;
    if (channel != NULL)
        channel_attach_fd(channel, value);
}

/* What is being read; `is_bad` once anything was missing. */
struct input {
    struct channel *channel;
    struct str rest;
    bool is_bad;
};

static inline bool take(struct input *input, void *value, size_t len)
{
    if (input->rest.len < len) {
        input->is_bad = true;
        return false;
    }
    memcpy(value, input->rest.ptr, len);
    input->rest = str_skip(input->rest, len);
    return true;
}

static inline void get_u8(struct input *input, uint8_t *value)
{
    take(input, value, sizeof *value);
}

static inline void get_u32(struct input *input, uint32_t *value)
{
    uint32_t bytes;

    if (take(input, &bytes, sizeof bytes))
        *value = le32toh(bytes);
}

static inline void get_u64(struct input *input, uint64_t *value)
{
    uint64_t bytes;

    if (take(input, &bytes, sizeof bytes))
        *value = le64toh(bytes);
}

static inline void get_i64(struct input *input, int64_t *value)
{
    uint64_t bytes = 0;

    get_u64(input, &bytes);
    *value = (int64_t)bytes;
}

static inline void get_str(struct input *input, struct str *value)
{
    uint32_t len = 0;

    get_u32(input, &len);
    if (input->rest.len < len) {
        input->is_bad = true;
        return;
    }
    *value = str_take(input->rest, len);
    input->rest = str_skip(input->rest, len);
}

static inline void get_fd(struct input *input, int *value)
{
    *value = input->channel != NULL && !input->is_bad ? channel_take_fd(input->channel) : -1;
    if (*value < 0)
        input->is_bad = true;
}

/* Of a message that is refused as a whole: descriptors that were taken already. */
static inline void drop_u8(uint8_t *value)
{
}

static inline void drop_u32(uint32_t *value)
{
}

static inline void drop_u64(uint64_t *value)
{
}

static inline void drop_i64(int64_t *value)
{
}

static inline void drop_str(struct str *value)
{
}

static inline void drop_fd(int *value)
{
    fd_close(value);
}

#define FIELD(type, field) put_##type(out, channel, message->field);
#define MESSAGE(name, number, fields)                                                              \
    static void put_##name(struct buf *out, struct channel *channel,                               \
                           const struct wire_##name *message)                                      \
    {                                                                                              \
        fields                                                                                     \
    }                                                                                              \
    void wire_send_##name(struct channel *channel, const struct wire_##name *message)              \
    {                                                                                              \
        put_##name(channel_frame_start(channel, WIRE_##name), channel, message);                   \
        channel_frame_end(channel);                                                                \
    }                                                                                              \
    void wire_encode_##name(struct buf *payload, const struct wire_##name *message)                \
    {                                                                                              \
        put_##name(payload, NULL, message);                                                        \
    }
#include WIRE_FILES
#undef MESSAGE
#undef FIELD

#define FIELD(type, field) drop_##type(&message->field);
#define MESSAGE(name, number, fields)                                                              \
    static bool refuse_##name(struct wire_##name *message)                                         \
    {                                                                                              \
        fields return false;                                                                       \
    }
#include WIRE_FILES
#undef MESSAGE
#undef FIELD

#define FIELD(type, field) get_##type(&input, &message->field);
#define MESSAGE(name, number, fields)                                                              \
    bool wire_decode_##name(struct channel *channel, struct str payload,                           \
                            struct wire_##name *message)                                           \
    {                                                                                              \
        struct input input = { .channel = channel, .rest = payload };                              \
        *message = (struct wire_##name){ 0 };                                                      \
        fields if (input.is_bad || input.rest.len > 0) return refuse_##name(message);              \
        return true;                                                                               \
    }
#include WIRE_FILES
#undef MESSAGE
#undef FIELD

const char *wire_name(uint16_t number)
{
    switch (number) {
#define FIELD(type, field)
#define MESSAGE(name, number, fields)                                                              \
    case WIRE_##name:                                                                              \
        return #name;
#include WIRE_FILES
#undef MESSAGE
#undef FIELD
    default:
        return "unknown";
    }
}
