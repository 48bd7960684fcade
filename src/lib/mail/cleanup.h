/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Postfix's cleanup does to a message between its arrival and the queue: one object for each
 * service line, made from the configuration before the role is confined (it opens tables), and one
 * call for each message, when its headers are complete. The order is Postfix's:
 *
 *   1. envelope sender: sender_canonical_maps, canonical_maps, masquerade_domains;
 *      sender_bcc_maps.
 *   2. each recipient: recipient_canonical_maps, canonical_maps, masquerade_domains;
 *      recipient_bcc_maps; virtual_alias_maps; duplicates go.
 *   3. each header as it came, our own Received: too: header checks, then the headers that are
 *      dropped, then its addresses: standard form, sender_ or recipient_canonical_maps,
 *      canonical_maps, masquerade_domains. Behind the headers, body checks and those of MIME parts.
 *   4. headers that are missing.
 *   5. BCC actions, always_bcc.
 *
 * smtpd calls it for mail from clients, pickup for local submissions, the queue for its own
 * notices. The caller may be a fiber that waits while a table is asked.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "mail/content_checks.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "mail/message_actions.h"
#include "mail/rewrite.h"
#include "net/own_addresses.h"

struct cleanup;

/* Borrows all of it until cleanup_free. */
struct cleanup_options {
    const struct config *config;
    const struct own_addresses *own; /* NULL: none */
    struct log_context log;          /* "postfix/cleanup" */
    struct cleanup *old; /* the one that is being replaced lends tables that a confined role cannot
                            open again; NULL: none */
};
/* NULL with `error` for what cannot be. A table that cannot open is warned of and fails the
 * messages that need it. */
struct cleanup *cleanup_new(const struct cleanup_options *options, struct error *error);
void cleanup_free(struct cleanup **cleanup);

/* What is done to a message; receive_override_options takes some of it away. */
enum cleanup_part {
    CLEANUP_MAPS = 1,   /* canonical, masquerade, virtual */
    CLEANUP_BCC = 2,    /* always_bcc, sender_bcc_maps, recipient_bcc_maps */
    CLEANUP_CHECKS = 4, /* header and body checks */
};
enum {
    CLEANUP_EXTERNAL = CLEANUP_MAPS | CLEANUP_BCC | CLEANUP_CHECKS,
    CLEANUP_INTERNAL = CLEANUP_MAPS, /* notices; with checks where internal_mail_filter_classes
                                        names them */
};

/* Whose headers these are. */
enum header_origin {
    HEADERS_LOCAL,  /* sendmail, local_header_rewrite_clients, notices: addresses are completed,
                       what is missing is added */
    HEADERS_REMOTE, /* others, sendmail -G: left alone, or rewritten to
                       remote_header_rewrite_domain */
};

/* One message. */
struct cleanup_message {
    struct arena *arena;       /* of the envelope */
    struct envelope *envelope; /* in standard form; recipients as they were asked for */
    struct str queue_id;
    struct str full_name; /* for From:; may be empty */
    unsigned parts;       /* enum cleanup_part bits */
    enum header_origin origin;
    struct str opening; /* headers of our own in front: prepended ones, Received: */
    /* What access tables want done, to which the checks add; NULL for nothing, and then nothing is
     * checked. Its copies (BCC) are added here, with all that is done to a recipient; the rest
     * stays to be applied. */
    struct message_actions *actions;

    const struct cleanup *cleanup; /* private, until cleanup_end */
    struct content_scan *scan;     /* the same; NULL: nothing is checked */

    /* ---- what came of it ---- */
    struct str message_id; /* with its brackets; empty where there is none */
    /* Of CLEANUP_REFUSED: the reply. */
    unsigned reply_code;
    const char *reply_enhanced;
    struct str reply_text;
};

enum cleanup_outcome {
    CLEANUP_DONE,
    CLEANUP_REFUSED, /* the message is not to be queued: the reply says why, the log has it */
};

/* `content` starts at the first header and has at least all of them. Appends the headers as they
 * are now, and the rest of `content` as it is, to `out`; changes the envelope (sender, recipients)
 * and logs the message id. */
enum cleanup_outcome cleanup_run(const struct cleanup *cleanup, struct cleanup_message *message,
                                 struct str content, struct buf *out);

/* Content that follows what cleanup_run was given, to what it becomes. */
enum cleanup_outcome cleanup_add(struct cleanup_message *message, struct str content,
                                 struct buf *out);
/* The end of the content; always due behind cleanup_run. With `out` NULL nothing more is done with
 * the message. */
enum cleanup_outcome cleanup_end(struct cleanup_message *message, struct buf *out);

/* CLEANUP_EXTERNAL without what receive_override_options takes away. */
unsigned cleanup_external_parts(const struct config *config);
