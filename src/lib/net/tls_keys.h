/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys, kept apart from the conversations that need them. The role `keys` has a keyring
 * (struct tls_keys); whoever shakes hands has certificates alone, and asks through a
 * struct tls_key_holder for each operation. A key is called by its owner, a service, and the
 * SHA-256 of its public part (the certificate's SubjectPublicKeyInfo in DER), never by a file.
 * Operations are those that TLS needs, and no more: a digest of known kind is signed, never any
 * number; RSA decrypts a premaster secret alone, and what is none of its form gives a random one
 * (RFC 5246, section 7.4.7.1). Single-threaded.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

enum {
    TLS_KEY_NAME_BYTES = 32,
    TLS_KEY_TEXT_MAX = 16 * 1024 + 512, /* what TLS signs is smaller than one message of it */
    TLS_KEY_RESULT_MAX = 2048,          /* RSA of 16384 bits */
};

enum tls_key_use {
    TLS_KEY_FIND,      /* is it there? The result is empty */
    TLS_KEY_SIGN,      /* a digest; RSA by PKCS #1 1.5 */
    TLS_KEY_SIGN_PSS,  /* a digest, by RSA with PSS, salt as long as the digest */
    TLS_KEY_SIGN_TEXT, /* Ed25519, Ed448: they make their digest themselves */
    TLS_KEY_DECRYPT,   /* RSA key exchange: the premaster secret, 48 bytes */
    TLS_KEY_USES,
};

#define TLS_KEY_DIGESTS(D)                                                                         \
    D(MD5_SHA1, "MD5-SHA1", 36)                                                                    \
    D(SHA1, "SHA1", 20)                                                                            \
    D(SHA224, "SHA2-224", 28)                                                                      \
    D(SHA256, "SHA2-256", 32)                                                                      \
    D(SHA384, "SHA2-384", 48)                                                                      \
    D(SHA512, "SHA2-512", 64)
enum tls_key_digest {
    TLS_KEY_NO_DIGEST,
#define TLS_KEY_DIGEST(name, text, bytes) TLS_KEY_##name,
    TLS_KEY_DIGESTS(TLS_KEY_DIGEST)
#undef TLS_KEY_DIGEST
        TLS_KEY_DIGEST_COUNT,
};

struct tls_key_request {
    struct str owner; /* whose it is: a service */
    struct str key;   /* TLS_KEY_NAME_BYTES */
    enum tls_key_use use;
    enum tls_key_digest digest;                  /* of TLS_KEY_SIGN, TLS_KEY_SIGN_PSS */
    uint32_t client_version, negotiated_version; /* of TLS_KEY_DECRYPT; the latter may be 0 */
    struct str text;
};

enum tls_key_outcome {
    TLS_KEY_DONE,
    TLS_KEY_UNKNOWN, /* this owner has no such key */
    TLS_KEY_FAILED,  /* it cannot do that */
};

/* ---- who asks ---- */

struct tls_provider;

/* `ask` appends the result; it may suspend the fiber that shakes hands. */
struct tls_key_holder {
    bool (*ask)(void *argument, const struct tls_key_request *request, struct buf *result);
    void *argument;
    struct tls_provider *provider; /* NULL until the first context with certificates */
};
/* After the last context that was made with it. */
void tls_key_holder_clear(struct tls_key_holder *holder);

/* ---- who has them ---- */

struct tls_files;
struct tls_keys;

/* Whoever is told, in Postfix's words, why something does not work. */
struct tls_warning {
    void (*say)(void *argument, const char *text);
    void *argument;
};

/* NULL with `error`: the library is not there. */
struct tls_keys *tls_keys_new(struct error *error);
void tls_keys_free(struct tls_keys **keys);
/* Reads the keys of these files, for an owner, and the certificates to compare with. All of them
 * or, where one is of no use, none: `warning` has said why. */
bool tls_keys_add_files(struct tls_keys *keys, const struct tls_files *files, struct str owner,
                        const struct tls_warning *warning);
/* Those of PEM text, "key, certificate, chain, key, …". A bounded number of such keys is kept: the
 * latest. */
must_check bool tls_keys_add_chain(struct tls_keys *keys, struct str pem, struct str owner,
                                   struct error *error);
size_t tls_keys_count(const struct tls_keys *keys);
/* Every field of the request may be anything. The result is appended. */
enum tls_key_outcome tls_keys_use(struct tls_keys *keys, const struct tls_key_request *request,
                                  struct buf *result);
