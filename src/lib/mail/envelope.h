/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that is known of a message beside its content: who sent it, who is to get it, how it came,
 * and what became of each recipient so far. Strings live in the envelope's arena (or borrow from
 * decoded bytes, see envelope_decode). The encoding is the same on channels and in the store.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum recipient_state {
    RECIPIENT_WAITING,   /* to be delivered, or tried again */
    RECIPIENT_DELIVERED, /* done: some host answered 2xx to it */
    RECIPIENT_BOUNCED,   /* done: failed for good, and its sender was told (or had none) */
    RECIPIENT_UNREPORTED, /* done: delivered or expanded, and its sender is still to be told */
};

/* RFC 3461 NOTIFY; none set = the default (FAILURE, perhaps DELAY). */
enum dsn_notify {
    DSN_NOTIFY_NEVER = 1,
    DSN_NOTIFY_SUCCESS = 2,
    DSN_NOTIFY_FAILURE = 4,
    DSN_NOTIFY_DELAY = 8,
};

/* What a notice says was done (RFC 3464 2.3.3), where it is no failure. */
enum dsn_action {
    DSN_ACTION_NONE,
    DSN_ACTION_DELIVERED,
    DSN_ACTION_RELAYED,   /* to a system that tells nobody of success */
    DSN_ACTION_EXPANDED,  /* an alias: its members are recipients of their own */
    DSN_ACTION_PASSED_ON, /* to a system that tells the sender of success itself */
    DSN_ACTION_DELIVERABLE,
    DSN_ACTION_UNDELIVERABLE,
    DSN_ACTION_LAST = DSN_ACTION_UNDELIVERABLE,
};

struct recipient {
    struct str address;            /* "user@example.com", as it is delivered to */
    struct str original_recipient; /* before rewriting, orig_to=; empty when the same */
    struct str dsn_orcpt;          /* RFC 3461 ORCPT, "rfc822;…" in xtext, as it came */
    uint8_t dsn_notify;            /* enum dsn_notify bits */
    uint8_t state;                 /* enum recipient_state */
    uint8_t dsn_action;            /* enum dsn_action, of RECIPIENT_UNREPORTED */
    struct str dsn_status;         /* the last attempt's: "4.4.1" */
    struct str diagnostic;         /* the last attempt's reason, as mailq shows it */
};

enum envelope_flag {
    ENVELOPE_8BITMIME = 1, /* BODY=8BITMIME */
    ENVELOPE_SMTPUTF8 = 2,
    ENVELOPE_LOCAL = 4,  /* came through sendmail, not SMTP */
    ENVELOPE_BOUNCE = 8, /* made here: a delivery status notification */
    ENVELOPE_DELAY_WARNED = 16,
    ENVELOPE_HELD = 32,         /* in the hold queue; also of new mail */
    ENVELOPE_RET_FULL = 64,     /* RET=FULL */
    ENVELOPE_RET_HEADERS = 128, /* RET=HDRS */
    ENVELOPE_REPORT = 256,      /* sendmail -v: the sender gets a report of the first attempt */
    ENVELOPE_VERIFY = 512,      /* sendmail -bv: the same, and nothing is delivered */
    /* By an operator: it goes back to its sender instead of being tried again. */
    ENVELOPE_FORCE_EXPIRED = 4096,
    /* By an operator: it is to pass cleanup again and to become another message. */
    ENVELOPE_REQUEUED = 8192,
    /* An address is being verified: nothing is delivered, nothing stored, nobody told. */
    ENVELOPE_PROBE = 65536,
};

struct envelope {
    struct str sender;      /* empty: the null sender */
    uint32_t flags;         /* enum envelope_flag bits */
    int64_t arrival_us;     /* wall clock: when its transaction began */
    uint64_t size_bytes;    /* of the content as stored, CRLF counted as one as Postfix does */
    uint64_t content_bytes; /* of the content as stored (CRLF line ends), for bookkeeping */
    struct str dsn_envid;
    /* How it came: for logs, XFORWARD and notices. "unknown" or empty where not applicable. */
    struct str client_name;
    struct str client_address;
    struct str helo_name;
    struct str protocol; /* "ESMTP", "SMTP", empty for local mail */
    struct str sasl_username;
    struct str filter; /* "transport:nexthop" of all recipients (FILTER actions); empty: none */
    struct str verp;   /* "+=": VERP delimiters, for a sender address for each recipient; empty */
    int64_t next_attempt_ms; /* wall clock; 0 = at once */
    uint32_t attempts;
    struct recipient *recipients;
    size_t recipient_count;
    size_t recipient_capacity; /* private to envelope_add_recipient */
};

/* Copies the strings of `recipient` into the arena. The returned pointer is valid until the next
 * call. */
struct recipient *envelope_add_recipient(struct arena *arena, struct envelope *envelope,
                                         const struct recipient *recipient);
/* Appends the bytes. */
void envelope_encode(const struct envelope *envelope, struct buf *out);
/* Trusts nothing. Strings borrow from `bytes`, the recipients' array comes from the arena. */
must_check bool envelope_decode(struct arena *arena, struct str bytes, struct envelope *envelope,
                                struct error *error);
/* NOTIFY for what an alias became, whose sender was told of the expansion: nobody is to be told of
 * success again (RFC 3461 5.2.7). */
uint8_t envelope_notify_without_success(uint8_t notify);
/* How many recipients are in RECIPIENT_WAITING. */
size_t envelope_waiting_count(const struct envelope *envelope);
