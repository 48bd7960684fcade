/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postfix's log lines (3.7's form), in its exact words and order. Each function appends the text
 * behind "postfix/smtpd[pid]: " to `out`, without printf, from plain values. Addresses are given
 * in internal form and shown as log_line_show_addresses says. Nothing here neutralises hostile
 * bytes: base/log.h does that to every line.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "mail/delivery.h"

#include <stdint.h>

/* info_log_address_format, for the whole process from now on: "external" quotes local parts with
 * special characters, "internal" does not. False with `error`: it is neither. */
must_check bool log_line_show_addresses(struct str form, struct error *error);

/* ---- smtpd ---- */
struct log_client {
    struct str name;    /* "unknown" where it has none */
    struct str address; /* bare */
    struct str port;    /* empty: is not logged */
};

/* "mail.example.com[192.0.2.1]", with smtpd_client_port_logging "…[192.0.2.1]:54321". */
void log_line_put_client(struct buf *out, struct log_client client);

/* "connect from mail.example.com[192.0.2.1]" */
void log_line_connect(struct log_client client, struct buf *out);

/* Commands of a session, for the disconnect line; kept by smtpd. */
enum counted_command {
    COUNTED_HELO,
    COUNTED_EHLO,
    COUNTED_XCLIENT,
    COUNTED_XFORWARD,
    COUNTED_STARTTLS,
    COUNTED_AUTH,
    COUNTED_MAIL,
    COUNTED_RCPT,
    COUNTED_DATA,
    COUNTED_BDAT,
    COUNTED_RSET,
    COUNTED_NOOP,
    COUNTED_VRFY,
    COUNTED_ETRN,
    COUNTED_QUIT,
    COUNTED_UNKNOWN,
    COUNTED_COMMANDS,
};
struct command_counts {
    uint32_t good[COUNTED_COMMANDS]; /* answered 2xx or 3xx */
    uint32_t total[COUNTED_COMMANDS];
};
/* "disconnect from a[b] ehlo=1 mail=1 rcpt=0/1 data=0/1 quit=1 commands=3/5" */
void log_line_disconnect(struct log_client client, const struct command_counts *counts,
                         struct buf *out);
/* What a client proved or claimed of itself; each may be empty. */
struct log_sasl {
    struct str method;
    struct str username;
    struct str sender; /* from MAIL's AUTH= */
};

/* "ID: client=name[addr], sasl_method=PLAIN, sasl_username=x, sasl_sender=y". */
void log_line_client(struct str queue_id, struct log_client client, const struct log_sasl *sasl,
                     struct buf *out);

/* "NOQUEUE: reject: RCPT from name[addr]: 554 5.7.1 <a@b>: Relay access denied; from=<…> to=<…>
 * proto=ESMTP helo=<…>". Fields that are not known yet are left out, as Postfix does. */
struct log_reject {
    struct str queue_id; /* empty: NOQUEUE */
    struct str action;   /* "reject", "warn", "hold", "discard"; empty = "reject" */
    struct str where;    /* "RCPT", "MAIL", "CONNECT", "END-OF-MESSAGE", "DATA content" */
    struct log_client client;
    struct str reply; /* "554 5.7.1 <a@b>: Relay access denied" */
    bool has_sender;
    struct str sender;
    bool has_recipient;
    struct str recipient;
    struct str protocol;  /* empty: left out */
    struct str helo_name; /* empty: left out */
};
void log_line_reject(const struct log_reject *reject, struct buf *out);

/* "ID: replace: header Subject: x from name[addr]; from=<…> to=<…> proto=ESMTP helo=<…>: text". */
struct log_check {
    struct str queue_id;
    const char *action;       /* "replace" */
    const char *what;         /* "header", "body" */
    struct str content;       /* what matched; shown up to 200 bytes, control characters as '?' */
    struct log_client client; /* without address: "local" */
    struct str sender;
    struct str recipient; /* empty: left out */
    struct str protocol;  /* empty: left out */
    struct str helo_name; /* empty: left out */
    struct str status;    /* of a rejection: "5.7.1"; else empty */
    struct str text;      /* of the action; may be empty */
};
void log_line_check(const struct log_check *check, struct buf *out);

/* "lost connection after RCPT from name[addr]"; `what` "lost connection", "timeout", "too many
 * errors", "improper command pipelining"; `where` the last command, or "CONNECT". */
void log_line_aborted(const char *what, struct str where, struct log_client client,
                      struct buf *out);
/* "improper command pipelining after EHLO from name[addr]: text" */
void log_line_pipelining(struct str where, struct log_client client, struct str text,
                         struct buf *out);
/* "non-SMTP command from name[addr]: GET / HTTP/1.1" is logged as a warning. */
void log_line_non_smtp(struct log_client client, struct str line, struct buf *out);

/* "Illegal address syntax from name[addr] in RCPT command: <text>" is logged as a warning; `text`
 * is the path as it came, without its brackets. */
void log_line_illegal_address(struct log_client client, struct str verb, struct str text,
                              struct buf *out);

/* ---- cleanup, pickup, qmgr ---- */
/* "ID: message-id=<x@y>"; empty: "message-id=<>". `message_id` with its brackets. */
void log_line_message_id(struct str queue_id, struct str message_id, struct buf *out);
/* "ID: uid=0 from=<root>" */
void log_line_pickup(struct str queue_id, uint32_t uid, struct str sender, struct buf *out);
/* "ID: from=<a@b>, size=316, nrcpt=1 (queue active)" */
void log_line_active(struct str queue_id, struct str sender, uint64_t size_bytes,
                     size_t recipient_count, struct buf *out);
/* "ID: removed" */
void log_line_removed(struct str queue_id, struct buf *out);
/* "ID: from=<a@b>, status=expired, returned to sender"; "force-expired" by an operator. */
void log_line_expired(struct str queue_id, struct str sender, bool is_forced, struct buf *out);
/* "ID: skipped, still being delivered" */
void log_line_still_delivered(struct str queue_id, struct buf *out);

/* ---- delivery agents ---- */
/* The four stages of a delivery, wall or monotonic clock, µs. A time that is 0 never came: its
 * stage counts into the next one, as in Postfix. */
struct delivery_times {
    int64_t arrival_us;       /* the client's transaction began */
    int64_t queue_manager_us; /* the queue took it up */
    int64_t agent_us;         /* the delivery agent began */
    int64_t connected_us;     /* handshake done, or connection reused; 0 = never */
    int64_t done_us;
};
struct log_delivery {
    struct str queue_id;
    struct str recipient;
    struct str original_recipient; /* empty: no orig_to= */
    struct str relay;              /* "none", "mx.example.com[192.0.2.1]:25", "local" */
    unsigned connection_use;       /* conn_use= where above 1 */
    struct delivery_times times;
    int64_t delay_decimals; /* delay_logging_resolution_limit */
    struct str dsn;         /* "2.0.0" */
    struct str status;      /* delivery_status_word's */
    struct str diagnostic;  /* goes into the parentheses */
};
/* "sent"; of a probe for address verification "deliverable" */
struct str delivery_status_word(enum delivery_status status, bool is_probe);
/* "connect to mx.example.com[192.0.2.1]:25: Connection refused" */
void log_line_connect_failure(struct str host, struct str address, uint16_t port, const char *why,
                              struct buf *out);
/* "ID: breaking line > 998 bytes with <CR><LF>SPACE", once per delivery (dot_encoder) */
void log_line_broken_line(struct str queue_id, size_t limit_bytes, struct buf *out);
/* "ID: to=<a@b>, orig_to=<c>, relay=…, conn_use=2, delay=0.1, delays=0.05/0/0.02/0.03,
 * dsn=2.0.0, status=sent (250 2.0.0 Ok)" */
void log_line_delivery(const struct log_delivery *delivery, struct buf *out);
/* One number of delay= or delays=: two significant digits at most, and so many behind the point
 * (delay_logging_resolution_limit). */
void log_delay_format(int64_t delay_us, int64_t decimals_max, struct buf *out);

/* ---- bounce ---- */
enum notification {
    NOTIFICATION_FAILURE,          /* "sender non-delivery notification" */
    NOTIFICATION_DELAY,            /* "sender delay notification" */
    NOTIFICATION_SUCCESS,          /* "sender delivery status notification" */
    NOTIFICATION_POSTMASTER,       /* "postmaster non-delivery notification" */
    NOTIFICATION_POSTMASTER_DELAY, /* "postmaster delay notification" */
};
/* "ID: sender non-delivery notification: ID2" */
void log_line_notification(struct str queue_id, enum notification notification,
                           struct str notification_id, struct buf *out);

/* ---- postsuper ---- */
/* "ID: removed", "Deleted: 3 messages", "Placed on hold: 1 message" and so on. */
void log_line_postsuper_count(const char *what, uint64_t count, struct buf *out);
