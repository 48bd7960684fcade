/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One notice about a message: a new message, made in memory, that becomes durable in the same
 * commit as what it tells of. bounce.h says which are due.
 */
#pragma once

#include "message.h"

struct notice_order {
    enum dsn_kind kind;
    enum notification notification; /* for the log */
    bool is_for_postmaster;
    bool returns_headers; /* and not the whole message */
    struct str sender, recipient;
    const struct dsn_recipient *recipients;
    size_t recipient_count;
};

/* Appends the notice to the original's list. False: cleanup does not take it just now. */
must_check bool notice_make(struct message *original, uint64_t queue_id,
                            const struct notice_order *order);
/* A notice that tells of no message: `content` from its first header on, without a Received:.
 * False: no queue id, or cleanup does not take it. The notice is accepted once it is durable. */
must_check bool notice_send(struct queue *queue, struct str sender, struct str recipient,
                            struct str content);
/* Puts the notices into the commit, together with the request that the caller submits next. When
 * they are done they have left the original's list and go their way as new mail. */
void notices_submit(struct message *original);
