/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests for authentication and for the keys of session tickets. They are libcrypto's, which is
 * loaded with the first use (net/tls_library.h), so a role that uses one must do that, or call
 * tls_library_load, before it is confined. All return false where the library cannot be loaded or
 * fails; `out` has room for CRYPTO_DIGEST_BYTES_MAX.
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

enum crypto_digest {
    CRYPTO_MD5,
    CRYPTO_SHA1,
    CRYPTO_SHA256,
};

enum { CRYPTO_DIGEST_BYTES_MAX = 32 };

/* The size of what the functions below put out. */
static inline size_t crypto_digest_bytes(enum crypto_digest digest)
{
    return digest == CRYPTO_MD5 ? 16 : digest == CRYPTO_SHA1 ? 20 : 32;
}

/* In a time that does not depend on where they differ. */
static inline bool crypto_is_equal(const void *one, const void *other, size_t count)
{
    unsigned char difference = 0;

    for (size_t i = 0; i < count; i++)
        difference |= ((const unsigned char *)one)[i] ^ ((const unsigned char *)other)[i];
    return difference == 0;
}

must_check bool crypto_hash(enum crypto_digest digest, struct str text, unsigned char *out);
/* HMAC (RFC 2104). */
must_check bool crypto_mac(enum crypto_digest digest, struct str key, struct str text,
                           unsigned char *out);
/* PBKDF2 with that HMAC (RFC 8018), one digest long. */
must_check bool crypto_stretch(enum crypto_digest digest, struct str password, struct str salt,
                               int iterations, unsigned char *out);
