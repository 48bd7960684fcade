/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that local mail waits in until the pickup role takes it. `sendmail` sends the parts to
 * `postdrop`, which writes the file; pickup reads it and trusts nothing in it.
 *
 *     64 bytes   header: magic, version, lengths and CRC-32C of the two parts, CRC of itself
 *     content    as it came from the user, lines ended by LF
 *     envelope   maildrop_envelope_encode's bytes
 *
 * The header is written last, over zeroes, so a file that was cut short never looks complete. A
 * file appears under its final name (no dot in front) only when all of it is on disk.
 *
 * Between sendmail and postdrop the same parts travel as frames: one byte of kind, four of length
 * (little-endian), the bytes. Any number of content frames, then one envelope frame, then the end
 * of the stream.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "mail/envelope.h"

enum {
    MAILDROP_HEADER_BYTES = 64,
    MAILDROP_ENVELOPE_MAX = 2 * 1024 * 1024,
    MAILDROP_RECIPIENTS_MAX = 10000,
    MAILDROP_ADDRESS_MAX = 1000,
    MAILDROP_FULL_NAME_MAX = 1000,
    MAILDROP_FRAME_HEADER_BYTES = 5,
    MAILDROP_FRAME_MAX = MAILDROP_ENVELOPE_MAX,
};

struct maildrop_header {
    uint64_t content_bytes;
    uint32_t envelope_bytes;
    uint32_t content_crc;
    uint32_t envelope_crc;
};

void maildrop_header_encode(const struct maildrop_header *header,
                            unsigned char bytes[MAILDROP_HEADER_BYTES]);
must_check bool maildrop_header_decode(struct str bytes, struct maildrop_header *header,
                                       struct error *error);
/* CRC-32C; start with 0 and hand the result to the next call for the bytes that follow. */
uint32_t maildrop_crc(uint32_t crc, struct str bytes);

enum maildrop_flag {
    MAILDROP_GATEWAY = 1, /* sendmail -G: passed on, not first submitted here */
};

/* What sendmail knows of a message beside its content. Of the envelope only sender, flags,
 * arrival_us, dsn_envid, verp and the recipients' address and DSN fields count; addresses are in
 * internal form and not yet completed with a domain. */
struct maildrop_envelope {
    uint32_t flags; /* enum maildrop_flag bits */
    struct str full_name;
    struct envelope envelope;
};

void maildrop_envelope_encode(const struct maildrop_envelope *envelope, struct buf *out);
/* Decodes, and checks with maildrop_envelope_check. Strings borrow from `bytes`. */
must_check bool maildrop_envelope_decode(struct arena *arena, struct str bytes,
                                         struct maildrop_envelope *envelope, struct error *error);
/* The rules for every writer and reader: at least one recipient and not too many, no empty
 * recipient, no address too long, no control character anywhere. */
must_check bool maildrop_envelope_check(const struct maildrop_envelope *envelope,
                                        struct error *error);

enum maildrop_frame_kind { MAILDROP_FRAME_CONTENT = 'C', MAILDROP_FRAME_ENVELOPE = 'E' };

void maildrop_frame_header_encode(enum maildrop_frame_kind kind, uint32_t len,
                                  unsigned char bytes[MAILDROP_FRAME_HEADER_BYTES]);
must_check bool maildrop_frame_header_decode(struct str bytes, enum maildrop_frame_kind *kind,
                                             uint32_t *len);
