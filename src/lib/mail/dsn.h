/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds delivery status notifications (RFC 3464, and RFC 6533 where the message is one with
 * SMTPUTF8): multipart/report with a human part, a status part and the returned message or its
 * headers. Content with CRLF line ends; the envelope around it is the caller's. Addresses in the
 * headers may lack a domain: cleanup completes them.
 */
#pragma once

#include "base/buf.h"
#include "mail/bounce_template.h"
#include "mail/envelope.h"

enum dsn_kind {
    DSN_FAILURE,
    DSN_DELAY,
    DSN_SUCCESS,
    DSN_REPORT, /* sendmail -v, -bv: whatever became of it */
    DSN_KINDS,
};

struct dsn_recipient {
    const struct recipient *recipient; /* with dsn_status and diagnostic of the last attempt */
    struct str action;     /* "failed", "delayed", "delivered", "relayed"; empty: from the kind */
    struct str remote_mta; /* "mx.example.com"; empty: none */
    struct str smtp_reply; /* "550 5.1.1 unknown"; empty: the diagnostic is ours */
    struct str told;       /* in place of the recipient's diagnostic; empty: that */
};

struct dsn {
    enum dsn_kind kind;
    const struct bounce_template *template;
    bool is_for_postmaster; /* a copy: without the template's text */
    bool is_threaded;       /* enable_threaded_bounces */
    bool is_8bit;           /* say so in any case, not just where it holds other than ASCII */
    bool returns_headers;   /* and not the whole message */
    struct str to;          /* who gets it */
    struct str myhostname;
    struct str mail_name;
    struct str queue_id;             /* of the original message */
    struct str notification_id;      /* of this one */
    const struct envelope *envelope; /* the original's */
    const struct dsn_recipient *recipients;
    size_t recipient_count;
    int64_t wall_s;             /* now */
    int64_t expires_s;          /* wall clock; for DSN_DELAY: how long it is still tried */
    struct str content;         /* the original's, whole; or as much as fits the limit */
    uint64_t content_bytes;     /* of the original */
    uint64_t bounce_size_limit; /* beyond that only headers go back */
};

/* Appends the content, without a Received: header. */
void dsn_format(const struct dsn *dsn, struct buf *out);
/* What RFC 3464 calls it: "delivered", "relayed", …; empty for DSN_ACTION_NONE. */
struct str dsn_action_name(enum dsn_action action);
