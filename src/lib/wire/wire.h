/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What roles say to each other. Each channel is one .def file of rows
 *
 *     MESSAGE(name, number, FIELD(type, field) FIELD(type, field) …)
 *
 * with the types u8 u32 u64 i64 (little-endian), str (u32 length and bytes) and fd (a descriptor
 * beside the frame). This file turns a row into
 *
 *     struct wire_NAME { … };                                  strings borrow
 *     WIRE_NAME                                                the frame's number
 *     void wire_send_NAME(struct channel *, const struct wire_NAME *);
 *     void wire_encode_NAME(struct buf *payload, const struct wire_NAME *);   (tools; no fd)
 *     bool wire_decode_NAME(struct channel *, struct str payload, struct wire_NAME *);
 *
 * Decoding fails on a short frame, on bytes that are left over and on a missing descriptor; the
 * caller then returns false from channel_events.received. A decoded fd is the caller's to close.
 * Numbers are unique over all files, so that a frame on the wrong channel is never understood.
 */
#pragma once

#include "net/channel.h"

typedef uint8_t wire_u8;
typedef uint32_t wire_u32;
typedef uint64_t wire_u64;
typedef int64_t wire_i64;
typedef struct str wire_str;
typedef int wire_fd;

#define WIRE_FILES "wire/all.def"

#define FIELD(type, field) wire_##type field;
#define MESSAGE(name, number, fields)                                                              \
    struct wire_##name {                                                                           \
        fields                                                                                     \
    };
#include WIRE_FILES
#undef MESSAGE
#undef FIELD

enum wire_number {
#define FIELD(type, field)
#define MESSAGE(name, number, fields) WIRE_##name = (number),
#include WIRE_FILES
#undef MESSAGE
#undef FIELD
};

#define FIELD(type, field)
#define MESSAGE(name, number, fields)                                                              \
    void wire_send_##name(struct channel *channel, const struct wire_##name *message);             \
    void wire_encode_##name(struct buf *payload, const struct wire_##name *message);               \
    must_check bool wire_decode_##name(struct channel *channel, struct str payload,                \
                                       struct wire_##name *message);
#include WIRE_FILES
#undef MESSAGE
#undef FIELD

/* The message's name for traces; "unknown" for numbers nobody has. */
const char *wire_name(uint16_t number);
