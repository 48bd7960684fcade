/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of net/tls share among themselves; nobody else includes it. */
#pragma once

#include "net/tls.h"

#include <openssl/ssl.h>

struct tls_context {
    SSL_CTX *library;
    BIO_METHOD *transport; /* how OpenSSL reaches struct tls_transport */
    bool is_server;
    const EVP_MD *fingerprint_digest;
    struct tls_tickets *tickets;
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

/* Loads "key, certificate, chain, key, …" from PEM text, into a context or a connection. */
must_check bool tls_chain_load(SSL_CTX *context, SSL *library, struct str pem, const char *name,
                               struct error *error);

/* tls_certificate.c: what the other end showed. */
void tls_certificate_facts(const struct tls *tls, struct arena *arena, struct tls_facts *facts);
int tls_certificate_verified(int is_fine, X509_STORE_CTX *store);
/* " key-exchange X25519 …" */
struct str tls_handshake_details(const struct tls *tls, struct arena *arena);
