/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of net/tls share among themselves; nobody else includes it. */
#pragma once

#include "net/tls.h"

#include <openssl/ssl.h>

enum { TLS_PEM_BYTES_MAX = 1024 * 1024 };

/* By which the holder knows a key. */
struct tls_key_name {
    struct tls_key_name *next;
    unsigned char bytes[TLS_KEY_NAME_BYTES];
};

struct tls_context {
    SSL_CTX *library;
    BIO_METHOD *transport; /* how OpenSSL reaches struct tls_transport */
    bool is_server;
    const EVP_MD *fingerprint_digest;
    struct tls_tickets *tickets;
    struct tls_key_holder *holder;
    struct str key_owner;
    struct tls_key_name *keys; /* of its own certificates */
    struct str listener;
    enum tls_chain_outcome (*find_chain)(void *argument, struct str name, struct buf *chain);
    void *argument;
    struct arena arena;
};

struct tls {
    struct tls_context *context;
    SSL *library;
    struct tls_transport transport;
    bool has_ended; /* the transport said so */
    struct buf problem;
    enum tls_check check;
    struct arena arena; /* of what follows */
    const struct str *names;
    size_t name_count;
    const struct str *fingerprints;
    size_t fingerprint_count;
    struct str servername;   /* the client's wish that was granted */
    struct str refused_name; /* and the one that was not, for that reason */
    enum tls_name_trouble name_trouble;
    /* The failure nearest to the peer's own certificate: error, depth (-1: none), issuer. */
    int verify_error, verify_depth;
    struct str verify_issuer;
    SSL_SESSION *session; /* the latest that the server gave */
};

/* The connection that an SSL belongs to. */
struct tls *tls_of(const SSL *library);
/* Appends OpenSSL's queue of errors, one line each, and empties it. */
void tls_problems_take(struct buf *out);

/* The versions as OpenSSL's options: SSL_OP_NO_TLSv1 and so on. */
uint64_t tls_protocols_refused(struct tls_protocols protocols);

/* ---- tls_chain.c ---- */

__attribute__((format(printf, 2, 3))) void tls_warn(const struct tls_warning *warning,
                                                    const char *format, ...);
/* A pem_password_cb: there is none. */
int tls_no_password(char *room, int room_bytes, int is_writing, void *argument);

/* One key with its certificate and those above. */
struct tls_chain {
    EVP_PKEY *key; /* NULL where keys are not read */
    X509 *leaf;
    STACK_OF(X509) * rest; /* NULL: none */
};
struct tls_chain_reader {
    bool reads_keys; /* or only notes where they stand: they may be blank */
    bool is_one; /* certificates of one key, which is elsewhere: those in between are no marks */
    const char *name; /* for errors */
    bool (*take)(void *argument, const struct tls_chain *chain, struct error *error);
    void *argument;
};
/* Reads "key, certificate, chain, key, …" from PEM text; each is lent to `take`. */
must_check bool tls_chain_read(struct str pem, const struct tls_chain_reader *reader,
                               struct error *error);
/* The certificates that the options name, with keys that the holder has. */
must_check bool tls_chains_load(struct tls_context *context,
                                const struct tls_context_options *options);
/* PEM text with blank keys, for one connection. */
must_check bool tls_chain_use(struct tls_context *context, SSL *library, struct str pem,
                              const char *name, struct error *error);

/* ---- tls_provider.c ---- */

/* The key of a certificate, which the context's holder has. It lives no longer than the context.
 * NULL: it is of no kind that we know. */
EVP_PKEY *tls_provider_key(const struct tls_context *context, const X509 *certificate);
must_check bool tls_key_name(const X509 *certificate, unsigned char name[TLS_KEY_NAME_BYTES]);

/* tls_certificate.c: what the other end showed. */
void tls_certificate_facts(const struct tls *tls, struct arena *arena, struct tls_facts *facts);
int tls_certificate_verified(int is_fine, X509_STORE_CTX *store);
/* " key-exchange X25519 …" */
struct str tls_handshake_details(const struct tls *tls, struct arena *arena);
