/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk through the parts of a MIME message while it arrives: the headers of parts and of attached
 * messages, and the lines of their bodies, each told to the caller in their order, together all of
 * the content. Multipart boundaries are looked for as Postfix does; what is wrong is body text.
 * Memory is bounded by the limits, time is linear, nothing recurs.
 */
#pragma once

#include "base/buf.h"

struct mime_walker;

enum mime_headers {
    MIME_MESSAGE_HEADERS, /* of the message itself; not told, see mime_walker_header */
    MIME_PART_HEADERS,
    MIME_NESTED_HEADERS, /* of a message within the message */
};

struct mime_events {
    /* A logical header, its folded lines with CRLF between them, none at its end. */
    void (*header)(void *argument, enum mime_headers where, struct str header);
    /* A line of a body without its CRLF, or a piece of a long one (ends_line is false for all but
     * the last). `offset`: of its start in the body of its part; a line end counts as one byte, as
     * in Postfix. */
    void (*text)(void *argument, struct str piece, bool ends_line, uint64_t offset);
    /* Content-Transfer-Encoding says of a part which has parts, or is a message, what RFC 2045 6.4
     * does not allow (base64), or RFC 2046 5.2 of a piece of one (8bit). May be NULL. */
    void (*wrong_encoding)(void *argument, const char *encoding);
    /* Parts within parts, more than the limit: this one's parts are not looked into. `header` is
     * its Content-Type. May be NULL. */
    void (*too_deep)(void *argument, struct str header);
    void *argument;
};

struct mime_limits {
    size_t nesting;        /* mime_nesting_limit, at most 10,000; as in Postfix two more are fine */
    size_t boundary_bytes; /* mime_boundary_length_limit */
    size_t header_bytes;   /* header_size_limit; what is longer is body text from there */
    size_t line_bytes;     /* line_length_limit: how large a piece of a line may be */
};

/* Without `looks_into_parts` (disable_mime_input_processing) everything is one body. */
struct mime_walker *mime_walker_new(const struct mime_limits *limits,
                                    const struct mime_events *events, bool looks_into_parts);
void mime_walker_free(struct mime_walker **walker);

/* A header of the message itself, before any content: Content-Type and Content-Transfer-Encoding
 * matter. */
void mime_walker_header(struct mime_walker *walker, struct str name, struct str value);
/* Whether the body at hand has no Content-Transfer-Encoding, or an unknown one, or "7bit". */
bool mime_walker_is_7bit(const struct mime_walker *walker);
/* Content behind the message's headers and the empty line that ends them, in any portions; lines
 * end with CRLF. */
void mime_walker_add(struct mime_walker *walker, struct str bytes);
void mime_walker_end(struct mime_walker *walker);

/* Content-Transfer-Encoding. */
enum transfer_encoding {
    TRANSFER_7BIT, /* or nothing that is known */
    TRANSFER_8BIT,
    TRANSFER_BINARY,
    TRANSFER_QUOTED_PRINTABLE,
    TRANSFER_BASE64,
};
enum transfer_encoding transfer_encoding_parse(struct str value);

/* "multipart/mixed; boundary=x" and the like. Pure. */
struct content_type {
    bool is_multipart, is_message, is_digest; /* of message/: rfc822 and global only */
    bool is_piece;                            /* message/partial, message/external-body */
    struct buf boundary;                      /* empty: none; at most `limit` bytes are kept */
};
void content_type_parse(struct str value, size_t limit_bytes, struct content_type *type);
