/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why an attempt did not succeed, in the form in which it is logged, told to the queue and put
 * into a bounce. Immutable; lives in the delivery's arena and is shared by the recipients it
 * concerns.
 */
#pragma once

#include "base/arena.h"

struct failure {
    struct str dsn;        /* "4.4.1"; its class decides: 4 is tried again, 5 bounces */
    struct str text;       /* what Postfix logs in parentheses */
    struct str relay;      /* "mx.example.com[192.0.2.1]:25" or "none" */
    struct str remote_mta; /* host name of the server that said so; empty: found out here */
    struct str smtp_reply; /* its reply; empty where there was none */
};

__attribute__((format(printf, 3, 4), returns_nonnull)) struct failure *
failure_new(struct arena *arena, const char *dsn, const char *format, ...);
static inline bool failure_is_soft(const struct failure *failure)
{
    return failure->dsn.len > 0 && failure->dsn.ptr[0] == '4';
}
