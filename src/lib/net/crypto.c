/* SPDX-License-Identifier: Apache-2.0 */
#include "net/crypto.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static const EVP_MD *algorithm(enum crypto_digest digest)
{
    return digest == CRYPTO_MD5 ? EVP_md5() : digest == CRYPTO_SHA1 ? EVP_sha1() : EVP_sha256();
}

bool crypto_hash(enum crypto_digest digest, struct str text, unsigned char *out)
{
    return EVP_Digest(text.ptr, text.len, out, NULL, algorithm(digest), NULL) == 1;
}

bool crypto_mac(enum crypto_digest digest, struct str key, struct str text, unsigned char *out)
{
    unsigned len = CRYPTO_DIGEST_BYTES_MAX;

    return HMAC(algorithm(digest), key.ptr, (int)key.len, (const unsigned char *)text.ptr, text.len,
                out, &len) != NULL;
}

bool crypto_stretch(enum crypto_digest digest, struct str password, struct str salt, int iterations,
                    unsigned char *out)
{
    return PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len, (const unsigned char *)salt.ptr,
                             (int)salt.len, iterations, algorithm(digest),
                             (int)crypto_digest_bytes(digest), out) == 1;
}
