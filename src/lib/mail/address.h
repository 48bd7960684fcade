/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail addresses. Inside, an address is in its internal form: the local part without quotes,
 * whatever bytes it holds, then '@' and the domain (none for "postmaster"); empty is the null
 * sender. Outside (headers, SMTP, logs) it is in external form: the local part quoted where RFC
 * 5321 needs it. Pure functions, no state.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum path_kind {
    PATH_SENDER,    /* MAIL FROM: "<>" is allowed */
    PATH_RECIPIENT, /* RCPT TO: "<>" is not */
};

enum path_outcome {
    PATH_OK,
    PATH_NO_KEYWORD, /* no "FROM:" or "TO:", or nothing behind it: 501 5.5.4 Syntax: … */
    PATH_BAD,        /* 501 5.1.7 Bad sender address syntax, 501 5.1.3 Bad recipient … */
    PATH_TOO_LONG,   /* beyond ADDRESS_BYTES_MAX: treat as PATH_BAD */
    PATH_NOT_ASCII,  /* 8-bit bytes while is_utf8 is false: 553 5.6.7 */
};

enum {
    /* RFC 5321 says 64 and 255; Postfix takes longer local parts, so we do. */
    ADDRESS_BYTES_MAX = 1000,
    DOMAIN_BYTES_MAX = 255,
};

struct path {
    struct str address;    /* internal form, source route stripped; in the arena */
    struct str parameters; /* what follows the path, for esmtp_parameter_next; borrowed */
    struct str text;       /* the path as it came, borrowed; empty where nobody knows its end */
};

struct path_rules {
    enum path_kind kind;
    bool is_strict;           /* strict_rfc821_envelopes: in angle brackets, without comments */
    bool is_utf8;             /* SMTPUTF8 was given */
    bool may_start_with_dash; /* allow_min_user */
};

/* The argument of MAIL or RCPT ("FROM:<a@b> SIZE=3"). Control characters, NUL, malformed UTF-8
 * and unbalanced quotes are refused, whatever the rules. */
enum path_outcome path_parse(struct arena *arena, struct str argument, struct path_rules rules,
                             struct path *path);

/* keyword[=value] behind a path; both borrow. False at the end. The keyword compares without
 * regard to case. */
struct esmtp_parameter {
    struct str keyword;
    struct str value;
    bool has_value;
};
bool esmtp_parameter_next(struct str *parameters, struct esmtp_parameter *parameter);

/* Splits at the last '@': "a@b"@c has the domain c. No '@': the domain is empty. */
struct str address_local(struct str address);
struct str address_domain(struct str address); /* without '@' */
bool address_has_domain(struct str address);   /* has an '@', even with nothing behind it */

/* local@domain. */
struct str address_join(struct arena *arena, struct str local, struct str domain);

/* The one canonical form, to be made once, before policy and routing: the domain in lower case
 * and without its trailing dot, an address literal in its shortest spelling ("[192.0.2.1]",
 * "[IPv6:2001:db8::1]"). The local part is left as it is. Already canonical: returned as is. */
struct str address_normalise(struct arena *arena, struct str address);
/* As address_normalise, and the local part in lower case too: the key for tables. */
struct str address_fold(struct arena *arena, struct str address);
/* Whether the local part could make some next host route to another domain: it has '@', '%' or
 * '!' (or starts a source route). Such an address is no authorised destination, see
 * allow_untrusted_routing. */
bool address_is_routed(struct str address);
/* A sender-specified domain that is an address literal: "[…]". */
bool domain_is_literal(struct str domain);
/* One with an IPv4 or IPv6 address in it, the latter with its tag (RFC 5321 4.1.3). */
bool domain_literal_is_valid(struct str domain);
/* Letters, digits, '-', '_', '.', labels up to 63, 255 in all, no empty label (one trailing dot
 * is fine), not all digits; UTF-8 labels where `is_utf8`. */
bool domain_is_valid(struct str domain, bool is_utf8);

/* External form: quotes the local part where it needs that ("a b"@c). */
void address_format(struct str address, struct buf *out);
/* The same with < and > around it: "<>" for the null sender. */
void address_format_angle(struct str address, struct buf *out);
/* External form → internal form: quotes and backslashes of the local part go, nothing else. */
struct str address_unquote(struct arena *arena, struct str external);
