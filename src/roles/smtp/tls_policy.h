/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much TLS mail to a server must have: what a transport's configuration says of it
 * (struct tls_rules, with its certificates and authorities, made before the role is confined), and
 * what follows for one destination and server.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "failure.h"
#include "net/tls.h"
#include "tls_entry.h"

struct tls_rules;
struct delivery;
struct target;

struct tls_rules_options {
    const struct config *config;
    const struct log_context *log;
    struct keys_client *keys; /* who has the private keys */
    bool is_lmtp;
};

/* Borrows what the options name. NULL with `error`: the configuration does not make sense. */
struct tls_rules *tls_rules_new(const struct tls_rules_options *options, struct error *error);
void tls_rules_free(struct tls_rules **rules);

/* Whom it is about. */
struct tls_site {
    struct str destination;      /* as written: "example.com", "[mail.example.com]:587" */
    struct str domain;           /* without brackets and port */
    struct str host;             /* the server's name */
    bool is_local;               /* a Unix socket: level may is in clear */
    const struct target *target; /* for DANE */
};

struct tls_policy {
    enum tls_level level;
    bool is_wrapped;     /* TLS from the first byte on */
    bool is_exception;   /* weaker than the destination's: no other mail may use the connection */
    bool is_half_dane;   /* who the server is comes from an unsigned MX record: "Trusted" at best */
    bool may_reuse;      /* the connection may serve other messages */
    bool notes_offer;    /* smtp_tls_note_starttls_offer */
    bool says_untrusted; /* why a certificate is not trusted is worth a line */
    unsigned log_bits;   /* enum tls_log */
    struct tls_context *context; /* NULL: TLS does not work */
    struct str problem;          /* why no handshake can be tried; for the log; empty: it can */
    struct tls_client_options options;
    bool keeps_sessions; /* smtp_tls_session_cache_database */
    int64_t session_lifetime_s;
};

/* Asks the resolver where DANE is wanted, so the fiber may be suspended. False with `*failure`:
 * nothing may be sent there. Lives in the delivery's arena. */
bool tls_policy_find(const struct tls_rules *rules, struct delivery *delivery,
                     const struct tls_site *site, struct tls_policy *policy,
                     const struct failure **failure);
/* Whether TLS can be begun now: there is a context, and whoever has its keys is there. May suspend
 * the fiber. */
bool tls_policy_can_start(const struct tls_rules *rules, const struct tls_policy *policy);
/* The message says that it needs no protection: "TLS-Required: no" (RFC 8689). */
bool tls_policy_is_waived(const struct tls_rules *rules, struct str content);
