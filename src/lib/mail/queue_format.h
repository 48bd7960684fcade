/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue as text: mailq (postqueue -p) in Postfix's format to the byte, and postqueue -j.
 * Bytes from outside are shown printable only.
 */
#pragma once

#include "base/buf.h"
#include "mail/envelope.h"

enum queue_name {
    QUEUE_ACTIVE = 1,
    QUEUE_DEFERRED = 2,
    QUEUE_HOLD = 3,
    QUEUE_INCOMING = 4,
    QUEUE_MAILDROP = 5
};
/* "active", …; NULL-free. */
const char *queue_name_text(enum queue_name name);
bool queue_name_parse(struct str text, enum queue_name *name);

struct queue_entry {
    struct str queue_id;
    enum queue_name queue;
    bool is_forced_expire;
    const struct envelope *envelope; /* only waiting recipients are shown */
};

/* For the footer: { 0 }, then one queue_format_entry per message, then queue_format_end. The
 * header line comes with the first entry. */
struct queue_totals {
    uint64_t message_count;
    uint64_t size_bytes;
};
void queue_format_entry(struct queue_totals *totals, const struct queue_entry *entry,
                        bool has_long_ids, struct buf *out);
/* The footer, or "Mail queue is empty". */
void queue_format_end(const struct queue_totals *totals, struct buf *out);
/* One JSON object and a line end. */
void queue_format_json(const struct queue_entry *entry, struct buf *out);
