/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS, with OpenSSL behind it and no type of it shown. A context holds what is read from files
 * (certificates, authorities) and is made before its role is confined; private keys are in another
 * process (net/tls_keys.h). A connection
 * (struct tls) belongs to a stream, which moves its bytes: see stream_start_tls. Single-threaded,
 * as the streams are.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "net/tls_files.h"
#include "net/tls_keys.h"
#include "net/tls_settings.h"
#include "net/tls_tickets.h"

#include <sys/types.h>

/* ---- contexts ---- */

struct tls_context;

enum tls_chain_outcome {
    TLS_CHAIN_FOUND,
    TLS_CHAIN_ABSENT, /* the name has none of its own: the usual one serves */
    TLS_CHAIN_FAILED, /* cannot be told: the handshake fails */
    TLS_CHAIN_BROKEN, /* it has, but they are of no use: the handshake fails */
};

struct tls_context_options {
    bool is_server;
    struct tls_files files;        /* of keys only their certificates are read */
    struct tls_key_holder *holder; /* who has the keys; borrowed; NULL: there are none */
    struct str key_owner;          /* whose they are for it */
    struct tls_protocols protocols;
    struct str cipher_list; /* OpenSSL's syntax; empty: its default */
    struct str curves;      /* tls_eecdh_auto_curves and tls_ffdhe_auto_groups */
    struct str fingerprint_digest;
    int verify_depth;
    bool asks_for_certificate; /* of clients */
    bool prefers_own_ciphers;  /* tls_preempt_cipherlist */
    /* Server: sessions are resumed by tickets, for so many seconds; 0: none are. */
    int64_t session_lifetime_s;
    struct tls_tickets *tickets; /* borrowed; NULL: no tickets */
    struct str listener;         /* whose tickets are no other listener's */
    /* Server: certificates by the name a client asks for. NULL: always the same ones. Their PEM
     * text, with blank keys as tls_pem_blank makes them, goes to `chain`. It may suspend the
     * fiber. */
    enum tls_chain_outcome (*find_chain)(void *argument, struct str name, struct buf *chain);
    void *argument;
    struct tls_warning warning;
};

/* NULL where TLS cannot be offered with these options; `warning` has said why. Strings are copied.
 */
struct tls_context *tls_context_new(const struct tls_context_options *options);
void tls_context_free(struct tls_context **context);
/* The names of the keys that its own certificates need, one after the other, from `*at` = 0 on;
 * false at the end. */
bool tls_context_next_key(const struct tls_context *context, size_t *at, struct str *key);

/* ---- connections ---- */

struct tls;

/* How the bytes of a connection travel. `receive` is as recv(2): EAGAIN in errno means "not now".
 * `send` always takes all. */
struct tls_transport {
    ssize_t (*receive)(void *argument, char *room, size_t room_bytes);
    void (*send)(void *argument, struct str bytes);
    void *argument;
};

/* Whom a client expects at the other end. */
enum tls_check {
    TLS_CHECK_NOTHING,
    TLS_CHECK_NAMES,        /* an authority vouches for one of the names */
    TLS_CHECK_FINGERPRINTS, /* the certificate or its key has one of the fingerprints */
    TLS_CHECK_DANE,         /* one of the TLSA records matches */
};

struct tls_tlsa {
    uint8_t usage, selector, matching_type;
    struct str data;
};

struct tls_client_options {
    struct tls_protocols protocols;
    struct str cipher_list;
    struct str servername; /* SNI; empty: none is sent */
    enum tls_check check;
    const struct str *names; /* "example.com", or ".example.com" for what is below it */
    size_t name_count;
    const struct str *fingerprints; /* "AB:CD:…" */
    size_t fingerprint_count;
    /* Of TLS_CHECK_DANE; with TLS_CHECK_NAMES: the authorities that count in place of others. */
    const struct tls_tlsa *tlsa;
    size_t tlsa_count;
    struct str tlsa_base; /* the first name that the certificate may be for */
    /* Of an earlier connection that was made with the same options; NULL: a new one. */
    const struct tls_session *session;
};

/* NULL with `error`: the options do not work (a cipher list without a cipher). */
struct tls *tls_new_server(struct tls_context *context, struct error *error);
struct tls *tls_new_client(struct tls_context *context, const struct tls_client_options *options,
                           struct error *error);
void tls_free(struct tls **tls);

/* ---- for the stream ---- */

enum tls_progress {
    TLS_DONE,        /* handshake: complete; read and write: *count bytes */
    TLS_WANTS_INPUT, /* the transport has nothing now */
    TLS_ENDED,       /* the peer closed */
    TLS_FAILED,      /* tls_problem says why */
};

void tls_set_transport(struct tls *tls, const struct tls_transport *transport);
enum tls_progress tls_handshake(struct tls *tls);
enum tls_progress tls_read(struct tls *tls, char *room, size_t room_bytes, size_t *count);
enum tls_progress tls_write(struct tls *tls, struct str bytes, size_t *count);
/* Says farewell, as far as that needs no answer. */
void tls_close(struct tls *tls);

/* ---- what came of it ---- */

/* The library's words on what failed, one line each; empty where the peer just closed. */
struct str tls_problem(const struct tls *tls);

struct tls_facts {
    struct str protocol; /* "TLSv1.3" */
    struct str cipher;
    int use_bits, algorithm_bits;
    struct str details; /* " key-exchange X25519 server-signature …", or empty */
    bool is_resumed;
    bool has_certificate; /* the peer showed one … */
    bool is_trusted;      /* … an authority vouches for it … */
    bool is_matched;      /* … and it is who was expected */
    /* Why not trusted, in Postfix's words: "server " "self-signed certificate", where in between
     * stands "certificate verification failed for" and the peer. Empty where it is trusted. */
    struct str verify_whose, verify_problem;
    struct str subject, issuer; /* common names; neutralised, may be empty */
    struct str certificate_fingerprint, key_fingerprint;
    struct str servername; /* that the client asked for and got; may be empty */
};

/* Why a client did not get the name that it asked for; also while the handshake is not over. */
enum tls_name_trouble {
    TLS_NAME_FINE, /* it did, or asked for none */
    TLS_NAME_INVALID,
    TLS_NAME_UNMATCHED, /* it has no keys of its own */
    TLS_NAME_BROKEN,    /* the keys do not work: the handshake has failed */
};
/* `name` is what the client asked for, as it came. */
enum tls_name_trouble tls_name_trouble(const struct tls *tls, struct str *name);

/* After the handshake. Strings live in `arena`. */
void tls_get_facts(const struct tls *tls, struct arena *arena, struct tls_facts *facts);

/* A client's session, so that a later connection may resume it; NULL where there is nothing to
 * resume. With TLS 1.3 the server gives it some time after the handshake. The caller frees it. */
struct tls_session;
struct tls_session *tls_session_take(struct tls *tls);
void tls_session_free(struct tls_session **session);
