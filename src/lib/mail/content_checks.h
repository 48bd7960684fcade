/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header_checks, mime_header_checks, nested_header_checks and body_checks: each header as one
 * string, however it is folded, and each line of a body is put to a table, and what the table
 * says is done to it or to the whole message. The first match of each counts. A table that cannot
 * answer (a pattern that takes too long) is no "no": the message is not accepted now.
 *
 * One object for each service line, opened before the role is confined; one scan for each message,
 * fed while it arrives, so bodies are never held.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "mail/message_actions.h"
#include "mail/mime.h"

struct content_checks;

/* NULL where no check is configured. `old` (NULL: none) lends tables that cannot be opened again.
 */
struct content_checks *content_checks_new(const struct config *config,
                                          const struct log_context *log,
                                          struct content_checks *old);
/* smtp_header_checks and its like, for mail that leaves: of the actions only those that change what
 * they look at, or say something. Refusals of a scan are then failures of tables alone. */
struct content_checks *content_checks_new_for_delivery(const struct config *config,
                                                       const struct log_context *log);
void content_checks_free(struct content_checks **checks);
/* False: bodies need not be scanned, as no check is for them and the headers in them. */
bool content_checks_want_body(const struct content_checks *checks);

/* One message. */
struct content_scan;

/* Where the message comes from and what it is, for logs, and what is to be done with it. */
struct content_scan_subject {
    struct arena *arena; /* of the actions */
    struct message_actions *actions;
    const struct envelope *envelope; /* its client and sender */
    struct str recipient;            /* the last one */
    struct str queue_id;
};
/* Borrows the subject's pointers and strings until its end. */
struct content_scan *content_scan_new(const struct content_checks *checks,
                                      const struct content_scan_subject *subject);
void content_scan_free(struct content_scan **scan);

/* A header of the message itself, without its last line end. False: it is to be left out. Else
 * `*header` is what stands there now, in the subject's arena where it changed. Lines that are to
 * stand in front of it are appended to `out`. */
bool content_scan_header(struct content_scan *scan, struct str *header, struct buf *out);
/* The body, in any portions, to what it becomes. */
void content_scan_body(struct content_scan *scan, struct str bytes, struct buf *out);
void content_scan_end(struct content_scan *scan, struct buf *out);

/* A reply that refuses the message, once there is one. */
struct content_refusal {
    unsigned code;
    const char *enhanced;
    struct str text;
};
const struct content_refusal *content_scan_refusal(const struct content_scan *scan);
