/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message headers: splitting, reading and completing. Content has CRLF line ends here; a bare LF
 * counts as a line end too. No MIME. Linear in the size of the input, never recursive.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "mail/rewrite.h"

struct header {
    struct str whole; /* with its folded lines, without the last line end */
    struct str name;  /* "Subject" */
    struct str value; /* behind the colon, blanks trimmed at both ends, still folded */
};

/* Takes the next logical header off `*content`. False at the end of the headers: `*content` is
 * then at the body (behind the empty line), or at the first line that is no header. Names are
 * printable ASCII without blank; blanks between name and colon are tolerated (RFC 5322 4.5). */
bool header_next(struct str *content, struct header *header);
static inline bool header_is(const struct header *header, const char *name)
{
    return str_equal_fold(header->name, str_from(name));
}
/* The bytes of all headers, without the empty line that ends them. */
struct str header_block(struct str content);

/* What smtpd wants to know of a message it received. */
struct header_summary {
    struct str message_id; /* "<…>" as it stands, first one; empty where missing */
    unsigned received_count;
    unsigned delivered_to_count;
    bool has_from, has_date, has_recipient; /* To:, Cc: or their Resent- forms count */
};
void header_summarise(struct str content, struct header_summary *summary);

/* What becomes of an address in a header: first its standard form, then what `map` (NULL: nothing)
 * makes of it. `is_sender`: it stands in From, Sender, Reply-To and the like. */
struct header_rewriter {
    const struct rewrite_rules *rules;
    /* False where that cannot be said now: the message is not queued. */
    bool (*map)(void *argument, bool is_sender, struct str *address);
    void *argument;
};

/* Header completion as Postfix's cleanup does it. */
struct header_completion {
    struct str myhostname; /* Message-Id: <stamp.queue_id@myhostname> */
    struct str queue_id;
    struct str sender;                        /* internal form, for From:; empty: MAILER-DAEMON */
    struct str full_name;                     /* for From:; may be empty */
    bool has_name_behind;                     /* header_from_format = obsolete */
    struct str undisclosed_recipients_header; /* a whole "To: …"; empty = none */
    struct str drop; /* message_drop_headers: names separated by blanks or commas */
    const struct header_rewriter *rewriter; /* for addresses in headers; NULL: left as they are */
    /* Asked about each header before anything is done to it; false leaves it out. It may change the
     * header, and append lines to `out` that are to stand in front of it. NULL: nobody is asked. */
    bool (*check)(void *argument, struct str *whole, struct buf *out);
    void *check_argument;
    struct str *body;   /* where to say what follows the headers, instead of appending it; may be
                           NULL */
    bool *is_8bit;      /* set where Content-Transfer-Encoding says so; may be NULL */
    struct str opening; /* headers of our own, to stand in front of the others: Received: */
    int64_t wall_s;
    bool may_add_missing; /* local_header_rewrite_clients (local mail is one), or
                             always_add_missing_headers */
};
/* Appends headers (completed, without those to be dropped) and body to `out`. False when `map` of
 * the rewriter said so. Added ones follow
 * those that are there, as "Resent-…" where there are such. A "From " line at the start becomes
 * X-Mailbox-Line:, and an empty line is put where the body follows the headers without one.
 * `message_id` is the one it has afterwards, with its brackets, copied to the arena (empty where
 * it has none). */
must_check bool header_complete(struct arena *arena, const struct header_completion *completion,
                                struct str content, struct buf *out, struct str *message_id);

/* Whether it is one that addresses stand in, and then whether they are its sender's. */
bool header_has_addresses(const struct header *header, bool *is_sender);
/* What stands behind the colon, blanks and all. */
struct str header_raw_value(const struct header *header);
/* Appends the value of an address header with each address rewritten: as it was where none changed,
 * else as Postfix writes address lists. False when `map` said so. */
must_check bool header_rewrite_addresses(const struct header_rewriter *rewriter, bool is_sender,
                                         const struct header *header, struct buf *out);
/* Whether sendmail -t takes recipients from this one: To, Cc, Bcc, or with `is_resent` the
 * Resent- forms. */
bool header_has_recipients(const struct header *header, bool is_resent);
