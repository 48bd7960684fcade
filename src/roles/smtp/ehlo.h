/* SPDX-License-Identifier: Apache-2.0 */
/* What a server offers in its reply to EHLO. Pure. */
#pragma once

#include "mail/reply.h"

enum feature {
    FEATURE_PIPELINING = 1,
    FEATURE_SIZE = 2,
    FEATURE_8BITMIME = 4,
    FEATURE_DSN = 8,
    FEATURE_SMTPUTF8 = 16,
    FEATURE_STARTTLS = 32,
    FEATURE_AUTH = 64,
    FEATURE_ESMTP = 128, /* it answered EHLO at all */
    FEATURE_XFORWARD_NAME = 256,
    FEATURE_XFORWARD_ADDR = 512,
    FEATURE_XFORWARD_PROTO = 1024,
    FEATURE_XFORWARD_HELO = 2048,
    FEATURE_XFORWARD_IDENT = 4096,
    FEATURE_XFORWARD_SOURCE = 8192,
};

struct offer {
    uint32_t features;     /* enum feature bits */
    uint64_t size_limit;   /* 0: none, or not said */
    struct str mechanisms; /* of AUTH, separated by blanks; borrows from the reply */
};

/* Reads every line behind the first. Keywords in `discard` (smtp_discard_ehlo_keywords) count as
 * not offered. */
void ehlo_parse(const struct reply *reply, struct str discard, struct offer *offer);
