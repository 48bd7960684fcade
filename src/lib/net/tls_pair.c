/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_pair.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

static FILE *open_file(const char *path, struct error *error)
{
    FILE *file = fopen(path, "re");

    if (file == NULL)
        error_errno(error, "%s", path);
    return file;
}

/* A key with a passphrase must not ask for it on the terminal. */
static int no_passphrase(char *room, int room_bytes, int is_writing, void *argument)
{
    (void)room, (void)room_bytes, (void)is_writing, (void)argument;
    return 0;
}

static X509 *read_certificate(const char *path, struct error *error)
{
    FILE *file = open_file(path, error);

    if (file == NULL)
        return NULL;
    X509 *certificate = PEM_read_X509(file, NULL, no_passphrase, NULL);
    fclose(file);
    if (certificate == NULL)
        error_set(error, "%s holds no certificate in PEM form", path);
    return certificate;
}

static EVP_PKEY *read_key(const char *path, struct error *error)
{
    FILE *file = open_file(path, error);

    if (file == NULL)
        return NULL;
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
    fclose(file);
    if (key == NULL)
        error_set(error, "%s holds no private key in PEM form without a passphrase", path);
    return key;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm parts;

    return time != NULL && ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

enum tls_pair_outcome tls_pair_inspect(const char *certificate_file, const char *key_file,
                                       int64_t *valid_from_s, int64_t *valid_until_s,
                                       struct error *error)
{
    enum tls_pair_outcome outcome = TLS_PAIR_UNREADABLE;
    X509 *certificate = read_certificate(certificate_file, error);
    EVP_PKEY *key = certificate != NULL ? read_key(key_file, error) : NULL;

    if (key != NULL) {
        *valid_from_s = seconds_of(X509_get0_notBefore(certificate));
        *valid_until_s = seconds_of(X509_get0_notAfter(certificate));
        outcome = X509_check_private_key(certificate, key) == 1 ? TLS_PAIR_FINE : TLS_PAIR_MISMATCH;
    }
    EVP_PKEY_free(key);
    X509_free(certificate);
    ERR_clear_error();
    return outcome;
}
