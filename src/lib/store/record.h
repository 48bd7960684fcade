/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of the queue's database, as bytes: all of them live in one tree, told apart by the
 * first byte of their key, and each carries its type, a version, its own key and a CRC-32C. Pure
 * functions: no LMDB, no I/O; whatever bytes they are given, they only say yes or no.
 *
 *   'C' id index   a chunk of content
 *   'D' due id     the schedule: one entry for each message
 *   'M' id         a message as it was accepted: envelope and (the tail of) its content; immutable
 *   'S'            the self-check record, rewritten by every commit; it stands behind the newest
 *                  messages, so it costs no page of its own
 *   'U' id         the envelope and due time that replace those of 'M' since an attempt
 */
#pragma once

#include "base/str.h"

enum record_type {
    RECORD_CHUNK = 'C',
    RECORD_DUE = 'D',
    RECORD_MESSAGE = 'M',
    RECORD_SELF = 'S',
    RECORD_UPDATE = 'U',
};

enum {
    RECORD_VERSION = 1,
    MESSAGE_HEADER_BYTES = 40,
    CHUNK_HEADER_BYTES = 24,
    DUE_RECORD_BYTES = 8,
    SELF_RECORD_BYTES = 48,
    /* The largest value that fills its pages: eight pages without the header of the first. */
    RECORD_PAGES_MAX_BYTES = 8 * 4096 - 16,
};

/* Keys sort as their numbers do. */
struct record_key {
    uint8_t bytes[17];
    uint8_t len;
};
struct record_key record_key_message(enum record_type type, uint64_t queue_id); /* 'M' and 'U' */
struct record_key record_key_chunk(uint64_t queue_id, uint32_t index);
struct record_key record_key_due(int64_t due_ms, uint64_t queue_id);
struct record_key record_key_self(void);
/* False when the bytes are no key of that type. */
bool record_key_parse_message(enum record_type type, struct str key, uint64_t *queue_id);
bool record_key_parse_chunk(struct str key, uint64_t *queue_id, uint32_t *index);
bool record_key_parse_due(struct str key, int64_t *due_ms, uint64_t *queue_id);

/* 'M' and 'U' ('U' has no chunks and no content). The envelope and the content have a checksum
 * each, so that reading the one does not need the other. */
struct message_record {
    uint64_t queue_id;
    int64_t due_ms;
    uint32_t chunk_count;
    struct str envelope;
    struct str content;
};
size_t message_record_bytes(const struct message_record *record);
/* Writes message_record_bytes bytes. */
void message_record_write(enum record_type type, const struct message_record *record, char *out);

struct message_header {
    uint64_t queue_id;
    int64_t due_ms;
    uint32_t chunk_count;
    uint32_t envelope_len;
    uint32_t content_len;
    uint32_t content_crc;
    uint32_t crc; /* of the rest of the header and the envelope */
};
/* `head` is the start of a value of `value_bytes` bytes in all; checks everything but the
 * checksums: type, version, own key, and that the lengths add up. */
bool message_header_parse(enum record_type type, uint64_t queue_id, struct str head,
                          size_t value_bytes, struct message_header *header);
/* `head` has the header and the whole envelope. */
bool message_envelope_is_sound(const struct message_header *header, struct str head);
bool message_content_is_sound(const struct message_header *header, struct str content);

void chunk_record_write(uint64_t queue_id, uint32_t index, struct str bytes, char *out);
/* The bytes borrow from the value. */
bool chunk_record_parse(uint64_t queue_id, uint32_t index, struct str value, struct str *bytes);

void due_record_write(const struct record_key *key, char *out);
bool due_record_is_sound(struct str key, struct str value);

struct self_record {
    uint64_t transaction; /* LMDB's number of the transaction that wrote it */
    uint64_t commit;      /* counted by us; goes on when the file is rewritten */
    uint64_t message_count;
    uint64_t id_mark;
    bool is_closed; /* the store was closed in order; every commit but the last says false */
};
void self_record_write(const struct self_record *self, char *out);
bool self_record_parse(struct str value, struct self_record *self);
