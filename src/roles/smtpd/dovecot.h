/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dovecot's authentication protocol, client side, version 1: the server decides, the relay carries
 * what the client says. Each exchange has a connection of its own. Used from fibers.
 */
#pragma once

#include "base/arena.h"
#include "service/endpoint.h"

/* What the server says of a mechanism; the same names are refused by smtpd_sasl_security_options.
 */
enum mechanism_property {
    MECHANISM_PLAINTEXT = 1,
    MECHANISM_DICTIONARY = 2,
    MECHANISM_ACTIVE = 4,
    MECHANISM_ANONYMOUS = 8,
    MECHANISM_FORWARD_SECRECY = 16,
    MECHANISM_MUTUAL = 32,
};

struct dovecot;

/* `endpoint` is borrowed. */
struct dovecot *dovecot_new(struct endpoint *endpoint);
void dovecot_free(struct dovecot **dovecot);

struct mechanism {
    struct str name;
    unsigned properties; /* enum mechanism_property bits */
};

/* What the server offers; remembered for a minute. The list borrows from `dovecot` until the next
 * call. False with `error` while the server cannot be asked. */
must_check bool dovecot_mechanisms(struct dovecot *dovecot, int64_t deadline_ms,
                                   const struct mechanism **mechanisms, size_t *count,
                                   struct error *error);

struct dovecot_request {
    struct str service; /* "smtp" */
    struct str mechanism;
    struct str client_address;
    bool is_secured;
    bool has_initial;
    struct str initial; /* base64 */
};

enum dovecot_step {
    DOVECOT_CONTINUES, /* `text` is the next challenge, base64 */
    DOVECOT_ACCEPTS,   /* `text` is the user's name */
    DOVECOT_REFUSES,   /* `text` is the reason, or empty; `user` where known */
    DOVECOT_FAILS,     /* the server cannot say just now; `text` says why */
};

struct dovecot_exchange {
    struct arena *arena; /* of the texts */
    struct stream *stream;
    uint32_t id;
    struct str text;
    struct str user;
};

/* Begins an exchange; the strings it gives live in `arena`. After anything but DOVECOT_CONTINUES
 * it is over. */
enum dovecot_step dovecot_start(struct dovecot *dovecot, struct arena *arena,
                                const struct dovecot_request *request, int64_t deadline_ms,
                                struct dovecot_exchange *exchange);
enum dovecot_step dovecot_continue(struct dovecot_exchange *exchange, struct str response,
                                   int64_t deadline_ms);
/* Ends it where the client gave up; no harm when it is over already. */
void dovecot_end(struct dovecot_exchange *exchange);
