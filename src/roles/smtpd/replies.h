/* SPDX-License-Identifier: Apache-2.0 */
/* The fixed replies of the server, one table (replies.def). Pure values. */
#pragma once

#include "mail/error_class.h"

#include "base/buf.h"

enum reply_name {
#define REPLY(name, code, enhanced, text) REPLY_##name,
#include "replies.def"
    REPLY_COUNT
};

/* A reply that is made up on the way: a verdict of the restrictions, the queue's refusal. */
struct verdict {
    bool is_accepted;
    unsigned code;        /* 450 … 599 where not accepted */
    const char *enhanced; /* "5.7.1" */
    const char *text;     /* behind the codes */
};

/* The reply as it goes out, without its line end. */
void reply_format_fixed(enum reply_name name, struct str myhostname, struct buf *out);
unsigned reply_code(enum reply_name name);
/* What of notify_classes it is about, where it refuses. */
enum error_class reply_class(enum reply_name name);
/* The same of a verdict that refuses. */
void verdict_format(const struct verdict *verdict, struct buf *out);
