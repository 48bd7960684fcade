/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message while the queue works on it: from its arrival until its commit failed, or until its
 * active time (one attempt for every recipient that waits) has ended and that is committed. It
 * rests in the store otherwise. Owned by the active table (active.h) once that has it.
 */
#pragma once

#include "committer.h"
#include "mail/delivery.h"
#include "mail/dsn.h"
#include "mail/log_line.h"
#include "mail/queue_id.h"

struct queue;

/* What one recipient's attempt came to in this active time. */
enum verdict {
    VERDICT_NONE = 0, /* no attempt has ended */
    VERDICT_SENT = DELIVERY_SENT,
    VERDICT_DEFERRED = DELIVERY_DEFERRED,
    VERDICT_BOUNCED = DELIVERY_BOUNCED,
    VERDICT_UNDONE = DELIVERY_UNDONE,
};

struct message {
    struct queue *queue;
    uint64_t queue_id;
    struct queue_id_text id;
    struct envelope envelope; /* borrows from `encoded`; what is learned lives in the arena */
    struct arena arena;
    char *encoded; /* the envelope as it came */
    size_t encoded_len;
    bool is_changed; /* the envelope is no longer what `encoded` says */
    bool is_flushed; /* an operator asked for it: defer_transports does not count */

    char *content; /* whole, while it is kept in memory; see content.h */
    size_t content_len;
    int content_fd; /* sealed; -1: none */
    size_t content_users;

    uint8_t budget_kind; /* while it is active, see budget.h */
    uint64_t probe;      /* of an address verification: its number */

    int64_t taken_up_us; /* wall clock: when it became active */
    size_t attempts_open;
    struct list attempts;          /* those, by their message_link */
    uint8_t *verdicts;             /* enum verdict of each recipient */
    struct dsn_recipient *reports; /* of each recipient that is told of; NULL before the first */

    int64_t due_ms;                 /* its time in the store's schedule */
    struct commit_request request;  /* the commit on its way, if any */
    struct list notices;            /* to be committed together with the message's end */
    struct list notice_link;        /* a notice before that: in the original's list */
    struct message *notice_of;      /* the original */
    enum notification notification; /* what the log calls the notice */
    bool has_notices;               /* they are made, or there are none */
    struct transaction *arrival;    /* whoever waits for its first commit (intake.c) */
    struct buf update;              /* the envelope that `request` writes */
    bool is_committing;
    bool is_finished;         /* every attempt has ended */
    bool is_dirty;            /* results wait to be written while attempts are open */
    bool is_deleted;          /* by an operator, meanwhile: nothing is written any more */
    bool is_to_retry;         /* take it up again at once, if it waits: message_retry */
    struct list waiting_link; /* in the completion's list of dirty or unsaved messages */
};

/* Copies the bytes. False (nothing made) where they are no envelope. */
must_check bool message_new(struct queue *queue, uint64_t queue_id, struct str envelope,
                            struct message **message, struct error *error);
void message_free(struct message **message);

/* sendmail -bv: every recipient is tried as a probe, once, and the sender gets a report. */
static inline bool message_is_verification(const struct message *message)
{
    return (message->envelope.flags & ENVELOPE_VERIFY) != 0;
}
/* An operator has marked it, on disk already: it is held, or passes cleanup again, as soon as its
 * active time has ended. */
static inline bool message_is_to_hold(const struct message *message)
{
    return (message->envelope.flags & ENVELOPE_HELD) != 0;
}
static inline bool message_is_to_requeue(const struct message *message)
{
    return (message->envelope.flags & ENVELOPE_REQUEUED) != 0;
}
struct str message_id_text(const struct message *message);
/* The last attempt's outcome for one recipient; copies what it keeps, bounded. `dsn` and the texts
 * come from outside. */
struct result {
    enum delivery_status status;
    struct str dsn;
    struct str diagnostic;
    struct str relay; /* "none" or empty: nobody was talked to */
    struct str remote_mta;
    struct str smtp_reply;
    enum dsn_action action; /* what a success was; NONE counts as delivered */
};
void message_record(struct message *message, size_t recipient, const struct result *result);
/* Whether any recipient's attempt came to that. */
bool message_has_verdict(const struct message *message, enum verdict verdict);
/* An operator asks for an attempt while the message is active. Where a recipient was deferred in
 * this active time, which the operator may have seen, there is another one after it. */
void message_retry(struct message *message);
/* The recipient is delivered to another address than it has; the log shows both. */
void message_readdress(struct message *message, size_t recipient, struct str address);
/* The envelope with only some recipients, encoded: what a delivery needs. */
void message_encode_part(struct message *message, const uint32_t *recipients, size_t count,
                         struct arena *scratch, struct buf *out);
