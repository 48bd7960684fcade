/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the clients of table servers (tcp:, socketmap:) send and how they read the answers: bytes
 * in, outcome out, no I/O. Private to this folder and to tests.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum {
    TCP_REPLY_BYTES_MAX = 4096,
    SOCKETMAP_REPLY_BYTES_MAX = 100000, /* where no configuration says it */
    SERVER_KEY_BYTES_MAX = 10000,
};

enum server_reply {
    SERVER_REPLY_INCOMPLETE,
    SERVER_REPLY_FOUND,
    SERVER_REPLY_ABSENT,
    SERVER_REPLY_FAILED, /* the server says that it cannot answer: `error` */
    SERVER_REPLY_BAD,    /* it is no reply: `error`; nothing more is read from this server */
};

/* The start of `bytes` may be a reply, of `bytes_max` bytes at most: `*used` is its length then,
 * and the value (in the arena) is set where it is SERVER_REPLY_FOUND. */
enum server_reply tcp_reply_parse(struct arena *arena, struct str bytes, size_t bytes_max,
                                  size_t *used, struct str *value, struct error *error);
enum server_reply socketmap_reply_parse(struct arena *arena, struct str bytes, size_t bytes_max,
                                        size_t *used, struct str *value, struct error *error);

/* False: a key that cannot be asked for. */
must_check bool tcp_request_format(struct buf *request, struct str key, struct error *error);
must_check bool socketmap_request_format(struct buf *request, struct str map, struct str key,
                                         struct error *error);
