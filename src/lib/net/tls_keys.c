/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_keys.h"

#include "base/ensure.h"
#include "base/file.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "net/tls_openssl.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

enum { KEPT_MAX = 1024, GATHERED_MAX = 16 };

struct key {
    struct list link; /* among the kept ones, the latest first; or alone */
    EVP_PKEY *private;
    struct buf name; /* its owner and TLS_KEY_NAME_BYTES */
};

struct tls_keys {
    struct map *by_name; /* struct key */
    struct list kept;    /* of chains */
    size_t kept_count;
};

struct tls_keys *tls_keys_new(struct error *error)
{
    struct tls_keys *keys = memory_new(sizeof *keys);

    (void)error;
    keys->by_name = map_new();
    list_init(&keys->kept);
    return keys;
}

static void key_free(struct key *key)
{
    list_remove(&key->link);
    EVP_PKEY_free(key->private);
    buf_free(&key->name);
    memory_free(key);
}

void tls_keys_free(struct tls_keys **keys)
{
    struct map_cursor cursor = { 0 };

    if (*keys == NULL)
        return;
    while (map_next((*keys)->by_name, &cursor))
        key_free(cursor.value);
    map_free(&(*keys)->by_name);
    memory_free(*keys);
    *keys = NULL;
}

size_t tls_keys_count(const struct tls_keys *keys)
{
    return map_count(keys->by_name);
}

/* The name of a key has always the same length, so the two cannot be mistaken. */
static void set_name(struct buf *name, struct str owner, struct str key)
{
    buf_append(name, owner);
    buf_append(name, key);
}

/* ---- reading ---- */

/* What has been read of some files, until all of it is known to be good. */
struct gathering {
    struct tls_chain chains[GATHERED_MAX];
    size_t count;
};

static bool gather(void *argument, const struct tls_chain *chain, struct error *error)
{
    struct gathering *gathering = argument;
    bool does_match = X509_check_private_key(chain->leaf, chain->key) == 1;

    ERR_clear_error();
    if (!does_match)
        return error_set(error, "chain: a key does not match the certificate behind it");
    if (gathering->count == GATHERED_MAX)
        return error_set(error, "chain: more than %d keys", GATHERED_MAX);
    ensure(EVP_PKEY_up_ref(chain->key) == 1 && X509_up_ref(chain->leaf) == 1);
    gathering->chains[gathering->count++] =
        (struct tls_chain){ .key = chain->key, .leaf = chain->leaf };
    return true;
}

static void gathering_clear(struct gathering *gathering)
{
    for (size_t i = 0; i < gathering->count; i++) {
        EVP_PKEY_free(gathering->chains[i].key);
        X509_free(gathering->chains[i].leaf);
    }
}

/* Says why, then OpenSSL's own words. */
static bool give_up(const struct tls_warning *warning, const char *kind, const char *what,
                    const char *file)
{
    autofree_buf struct buf problems = { 0 };
    struct str rest, line;

    tls_problems_take(&problems);
    tls_warn(warning, "cannot get %s %s from file \"%s\": disabling TLS support", kind, what, file);
    rest = buf_str(&problems);
    while (str_next_word(&rest, "\n", &line))
        tls_warn(warning, "TLS library problem: %.*s", STR_ARGS(line));
    return false;
}

struct pair {
    struct str cert, key;
    const char *kind;
};

static bool read_pair(struct gathering *gathering, SSL_CTX *library, const struct pair *pair,
                      const struct tls_warning *warning)
{
    autoclear_arena struct arena arena = { 0 };
    const char *cert_file = arena_text(&arena, pair->cert);
    const char *key_file = arena_text(&arena, pair->key.len > 0 ? pair->key : pair->cert);
    struct error error;

    if (pair->cert.len == 0 || str_equal_fold(pair->cert, STR("none")))
        return true;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(library, cert_file) <= 0)
        return give_up(warning, pair->kind, "certificate", cert_file);
    X509 *leaf =
        SSL_CTX_get0_certificate(library); /* a key of another kind makes another current */
    if (SSL_CTX_use_PrivateKey_file(library, key_file, SSL_FILETYPE_PEM) <= 0)
        return give_up(warning, pair->kind, "private key", key_file);
    const struct tls_chain chain = { .key = SSL_CTX_get0_privatekey(library), .leaf = leaf };
    if (X509_check_private_key(leaf, chain.key) == 1)
        return gather(gathering, &chain, &error);
    ERR_clear_error();
    tls_warn(warning, "%s private key in %s does not match public key in %s: disabling TLS support",
             pair->kind, key_file, cert_file);
    return false;
}

static bool read_chain_files(struct gathering *gathering, struct str files,
                             const struct tls_warning *warning)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf pem = { 0 };
    const struct tls_chain_reader reader = {
        .reads_keys = true, .name = "chain", .take = gather, .argument = gathering
    };
    struct str rest = files, word;
    struct error error;

    while (str_next_word(&rest, ", \t\r\n", &word)) {
        if (!file_read(arena_text(&arena, word), TLS_PEM_BYTES_MAX, &pem, &error)) {
            tls_warn(warning, "error opening chain file: %s", error.message);
            return false;
        }
        buf_append_byte(&pem, '\n');
    }
    bool is_read = tls_chain_read(buf_str(&pem), &reader, &error);
    OPENSSL_cleanse(pem.ptr, pem.len);
    if (!is_read)
        tls_warn(warning, "error loading private keys and certificates from: %.*s: %s",
                 STR_ARGS(files), error.message);
    return is_read;
}

static bool read_files(struct gathering *gathering, const struct tls_files *files,
                       const struct tls_warning *warning)
{
    const struct pair pairs[] = { { files->rsa_cert, files->rsa_key, "RSA" },
                                  { files->dsa_cert, files->dsa_key, "DSA" },
                                  { files->ec_cert, files->ec_key, "ECDSA" } };
    SSL_CTX *library;
    bool is_read = true;

    if (files->chain_files.len > 0)
        return read_chain_files(gathering, files->chain_files, warning);
    library = SSL_CTX_new(TLS_method());
    ensure(library != NULL);
    SSL_CTX_set_security_level(library, 1);
    SSL_CTX_set_default_passwd_cb(library, tls_no_password);
    for (size_t i = 0; is_read && i < sizeof pairs / sizeof pairs[0]; i++)
        is_read = read_pair(gathering, library, &pairs[i], warning);
    SSL_CTX_free(library);
    return is_read;
}

/* ---- keeping ---- */

/* NULL: it is there already. */
static struct key *add(struct tls_keys *keys, const struct tls_chain *chain, struct str owner)
{
    unsigned char name[TLS_KEY_NAME_BYTES];
    struct key *key = memory_new(sizeof *key);

    ensure(tls_key_name(chain->leaf, name) && EVP_PKEY_up_ref(chain->key) == 1);
    list_init(&key->link);
    key->private = chain->key;
    set_name(&key->name, owner, str_of((const char *)name, sizeof name));
    if (map_find(keys->by_name, buf_str(&key->name)) != NULL) {
        key_free(key);
        return NULL;
    }
    map_set(keys->by_name, buf_str(&key->name), key);
    return key;
}

bool tls_keys_add_files(struct tls_keys *keys, const struct tls_files *files, struct str owner,
                        const struct tls_warning *warning)
{
    struct gathering gathering = { 0 };
    bool is_read = read_files(&gathering, files, warning);

    for (size_t i = 0; is_read && i < gathering.count; i++)
        (void)add(keys, &gathering.chains[i], owner);
    gathering_clear(&gathering);
    return is_read;
}

static void keep(struct tls_keys *keys, struct key *key)
{
    list_prepend(&keys->kept, &key->link);
    if (++keys->kept_count <= KEPT_MAX)
        return;
    struct key *oldest = list_entry(keys->kept.previous, struct key, link);
    map_remove(keys->by_name, buf_str(&oldest->name));
    key_free(oldest);
    keys->kept_count--;
}

bool tls_keys_add_chain(struct tls_keys *keys, struct str pem, struct str owner,
                        struct error *error)
{
    struct gathering gathering = { 0 };
    const struct tls_chain_reader reader = {
        .reads_keys = true, .name = "chain", .take = gather, .argument = &gathering
    };
    bool is_read = tls_chain_read(pem, &reader, error);

    for (size_t i = 0; is_read && i < gathering.count; i++) {
        struct key *key = add(keys, &gathering.chains[i], owner);
        if (key != NULL)
            keep(keys, key);
    }
    gathering_clear(&gathering);
    return is_read;
}

/* ---- use ---- */

static size_t digest_bytes(enum tls_key_digest digest)
{
    static const size_t bytes[TLS_KEY_DIGEST_COUNT] = {
#define TLS_KEY_DIGEST(name, text, count) [TLS_KEY_##name] = (count),
        TLS_KEY_DIGESTS(TLS_KEY_DIGEST)
#undef TLS_KEY_DIGEST
    };

    return digest < TLS_KEY_DIGEST_COUNT ? bytes[digest] : 0;
}

static const char *digest_text(enum tls_key_digest digest)
{
    static const char *const texts[TLS_KEY_DIGEST_COUNT] = {
#define TLS_KEY_DIGEST(name, text, count) [TLS_KEY_##name] = (text),
        TLS_KEY_DIGESTS(TLS_KEY_DIGEST)
#undef TLS_KEY_DIGEST
    };

    return texts[digest];
}

/* As libcrypto's parameters have texts: it does not write to them. */
static OSSL_PARAM text_parameter(const char *name, const char *text)
{
    return OSSL_PARAM_construct_utf8_string(name, (char *)(uintptr_t)text, 0);
}

static bool sign_digest(EVP_PKEY_CTX *context, const struct tls_key_request *request,
                        unsigned char *out, size_t *out_bytes)
{
    bool is_rsa = EVP_PKEY_CTX_is_a(context, "RSA") || EVP_PKEY_CTX_is_a(context, "RSA-PSS");
    bool is_pss = request->use == TLS_KEY_SIGN_PSS;
    OSSL_PARAM parameters[4];
    size_t count = 0;

    if (digest_bytes(request->digest) != request->text.len || request->text.len == 0 ||
        (is_pss && !is_rsa))
        return false;
    parameters[count++] = text_parameter(OSSL_SIGNATURE_PARAM_DIGEST, digest_text(request->digest));
    if (is_rsa)
        parameters[count++] =
            text_parameter(OSSL_SIGNATURE_PARAM_PAD_MODE,
                           is_pss ? OSSL_PKEY_RSA_PAD_MODE_PSS : OSSL_PKEY_RSA_PAD_MODE_PKCSV15);
    if (is_pss)
        parameters[count++] =
            text_parameter(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST);
    parameters[count] = OSSL_PARAM_construct_end();
    return EVP_PKEY_sign_init_ex(context, parameters) == 1 &&
           EVP_PKEY_sign(context, out, out_bytes, (const unsigned char *)request->text.ptr,
                         request->text.len) == 1;
}

static bool sign_text(EVP_PKEY *private, struct str text, unsigned char *out, size_t *out_bytes)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    ensure(context != NULL);
    bool is_signed =
        (EVP_PKEY_is_a(private, "ED25519") || EVP_PKEY_is_a(private, "ED448")) &&
        EVP_DigestSignInit_ex(context, NULL, NULL, NULL, NULL, private, NULL) == 1 &&
        EVP_DigestSign(context, out, out_bytes, (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(context);
    return is_signed;
}

static bool decrypt(EVP_PKEY_CTX *context, const struct tls_key_request *request,
                    unsigned char *out, size_t *out_bytes)
{
    unsigned client = request->client_version, negotiated = request->negotiated_version;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &client),
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, &negotiated),
        OSSL_PARAM_construct_end(),
    };

    if (negotiated == 0)
        parameters[1] = OSSL_PARAM_construct_end();
    return EVP_PKEY_CTX_is_a(context, "RSA") && client > 0 && EVP_PKEY_decrypt_init(context) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_WITH_TLS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_params(context, parameters) == 1 &&
           EVP_PKEY_decrypt(context, out, out_bytes, (const unsigned char *)request->text.ptr,
                            request->text.len) == 1;
}

static bool operate(const struct key *key, const struct tls_key_request *request,
                    unsigned char *out, size_t *out_bytes)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key->private, NULL);
    bool is_done = false;

    ensure(context != NULL);
    switch (request->use) {
    case TLS_KEY_FIND:
        *out_bytes = 0;
        is_done = true;
        break;
    case TLS_KEY_SIGN:
    case TLS_KEY_SIGN_PSS:
        is_done = sign_digest(context, request, out, out_bytes);
        break;
    case TLS_KEY_SIGN_TEXT:
        is_done = sign_text(key->private, request->text, out, out_bytes);
        break;
    case TLS_KEY_DECRYPT:
        is_done = decrypt(context, request, out, out_bytes);
        break;
    case TLS_KEY_USES:
        break;
    }
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return is_done;
}

enum tls_key_outcome tls_keys_use(struct tls_keys *keys, const struct tls_key_request *request,
                                  struct buf *result)
{
    autofree_buf struct buf name = { 0 };
    unsigned char out[TLS_KEY_RESULT_MAX];
    size_t out_bytes = sizeof out;

    set_name(&name, request->owner, request->key);
    const struct key *key = map_find(keys->by_name, buf_str(&name));
    if (key == NULL)
        return TLS_KEY_UNKNOWN;
    if (request->text.len > TLS_KEY_TEXT_MAX ||
        (size_t)EVP_PKEY_get_size(key->private) > sizeof out)
        return TLS_KEY_FAILED;
    bool is_done = operate(key, request, out, &out_bytes);
    if (is_done)
        buf_append(result, str_of((const char *)out, out_bytes));
    OPENSSL_cleanse(out, sizeof out); /* a premaster secret may have been in it */
    return is_done ? TLS_KEY_DONE : TLS_KEY_FAILED;
}
