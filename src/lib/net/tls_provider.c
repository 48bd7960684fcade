/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider of OpenSSL's whose keys are elsewhere: what takes the private part of one is asked of
 * the struct tls_key_holder. It lives in a library context of its own, so that nothing but our keys
 * ever finds its algorithms: an operation with a key looks for the algorithm at the key's own
 * provider where others cannot take the key, and ours is never given away.
 */
#include "base/ensure.h"
#include "base/memory.h"
#include "net/tls_openssl.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>

#define PROVIDER      "waypost-keys"
#define KEY_PARAMETER "waypost-key" /* a struct provided_key * in bytes */
enum { PREMASTER_BYTES = 48 };

struct tls_provider {
    OSSL_LIB_CTX *library;
    OSSL_PROVIDER *provider;
};

/* What OpenSSL calls the key; its public part is the default provider's. */
struct provided_key {
    EVP_PKEY *public;
    const struct tls_key_holder *holder;
    struct str owner; /* the context's */
    unsigned char name[TLS_KEY_NAME_BYTES];
};

/* OpenSSL's table of functions holds pointers without types. */
#define FUNCTION(function) ((void (*)(void))(function))

/* ---- keys ---- */

static void *key_new(void *provider)
{
    (void)provider;
    return memory_new(sizeof(struct provided_key));
}

static void key_free(void *data)
{
    struct provided_key *key = data;

    if (key == NULL)
        return;
    EVP_PKEY_free(key->public);
    memory_free(key);
}

static int key_has(const void *data, int selection)
{
    const struct provided_key *key = data;

    (void)selection;
    return key != NULL && key->public != NULL;
}

static int key_match(const void *one, const void *other, int selection)
{
    const struct provided_key *a = one, *b = other;

    (void)selection;
    return EVP_PKEY_eq(a->public, b->public) == 1;
}

/* Made by tls_provider_key, and in no other way. */
static int key_import(void *data, int selection, const OSSL_PARAM parameters[])
{
    const OSSL_PARAM *parameter = OSSL_PARAM_locate_const(parameters, KEY_PARAMETER);
    struct provided_key *key = data, *given;

    (void)selection;
    if (parameter == NULL || parameter->data_size != sizeof given)
        return 0;
    memcpy(&given, parameter->data, sizeof given);
    *key = *given;
    return EVP_PKEY_up_ref(key->public);
}

/* Only what is public, for comparisons. */
static int key_export(void *data, int selection, OSSL_CALLBACK *callback, void *argument)
{
    const struct provided_key *key = data;

    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
        return 0;
    return EVP_PKEY_export(key->public, EVP_PKEY_PUBLIC_KEY, callback, argument);
}

static const OSSL_PARAM *key_types(int selection)
{
    static const OSSL_PARAM types[] = { OSSL_PARAM_octet_string(KEY_PARAMETER, NULL, 0),
                                        OSSL_PARAM_END };

    (void)selection;
    return types;
}

static int key_get_params(void *data, OSSL_PARAM parameters[])
{
    const struct provided_key *key = data;

    return EVP_PKEY_get_params(key->public, parameters);
}

static const OSSL_PARAM *key_gettable(void *provider)
{
    static const OSSL_PARAM gettable[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)provider;
    return gettable;
}

static const OSSL_DISPATCH key_functions[] = {
    { OSSL_FUNC_KEYMGMT_NEW, FUNCTION(key_new) },
    { OSSL_FUNC_KEYMGMT_FREE, FUNCTION(key_free) },
    { OSSL_FUNC_KEYMGMT_HAS, FUNCTION(key_has) },
    { OSSL_FUNC_KEYMGMT_MATCH, FUNCTION(key_match) },
    { OSSL_FUNC_KEYMGMT_IMPORT, FUNCTION(key_import) },
    { OSSL_FUNC_KEYMGMT_IMPORT_TYPES, FUNCTION(key_types) },
    { OSSL_FUNC_KEYMGMT_EXPORT, FUNCTION(key_export) },
    { OSSL_FUNC_KEYMGMT_EXPORT_TYPES, FUNCTION(key_types) },
    { OSSL_FUNC_KEYMGMT_GET_PARAMS, FUNCTION(key_get_params) },
    { OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, FUNCTION(key_gettable) },
    { 0, NULL },
};

static bool ask(const struct provided_key *key, struct tls_key_request *request, struct buf *result)
{
    request->owner = key->owner;
    request->key = str_of((const char *)key->name, sizeof key->name);
    return key->holder->ask(key->holder->argument, request, result);
}

/* ---- signatures ---- */

/* One signature; also one decryption, below. */
struct operation {
    const struct provided_key *key;
    EVP_MD *digest; /* NULL: the algorithm has its own */
    enum tls_key_digest digest_name;
    bool is_pss, is_premaster;
    unsigned client_version, negotiated_version;
};

static void *operation_new(void *provider, const char *properties)
{
    (void)provider;
    (void)properties;
    return memory_new(sizeof(struct operation));
}

static void *decryption_new(void *provider)
{
    return operation_new(provider, NULL);
}

static void operation_free(void *data)
{
    struct operation *operation = data;

    if (operation == NULL)
        return;
    EVP_MD_free(operation->digest);
    memory_free(operation);
}

static enum tls_key_digest digest_name(const EVP_MD *digest)
{
#define TLS_KEY_DIGEST(name, text, bytes)                                                          \
    if (EVP_MD_is_a(digest, text))                                                                 \
        return TLS_KEY_##name;
    TLS_KEY_DIGESTS(TLS_KEY_DIGEST)
#undef TLS_KEY_DIGEST
    return TLS_KEY_NO_DIGEST;
}

static int signature_set(void *data, const OSSL_PARAM parameters[])
{
    struct operation *operation = data;
    const OSSL_PARAM *padding = OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_PAD_MODE);
    const OSSL_PARAM *salt = OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
    int number = 0;

    if (padding != NULL && padding->data_type == OSSL_PARAM_UTF8_STRING) {
        operation->is_pss = strcmp(padding->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
        if (!operation->is_pss && strcmp(padding->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) != 0)
            return 0;
    } else if (padding != NULL) {
        if (!OSSL_PARAM_get_int(padding, &number) ||
            (number != RSA_PKCS1_PSS_PADDING && number != RSA_PKCS1_PADDING))
            return 0;
        operation->is_pss = number == RSA_PKCS1_PSS_PADDING;
    }
    if (salt != NULL && salt->data_type == OSSL_PARAM_UTF8_STRING)
        return strcmp(salt->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0;
    return salt == NULL || (OSSL_PARAM_get_int(salt, &number) && number == RSA_PSS_SALTLEN_DIGEST);
}

static const OSSL_PARAM *signature_settable(void *data, void *provider)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)data;
    (void)provider;
    return settable;
}

static int signature_init(void *data, const char *digest, void *key, const OSSL_PARAM parameters[])
{
    struct operation *operation = data;

    operation->key = key;
    operation->is_pss = EVP_PKEY_is_a(operation->key->public, "RSA-PSS");
    if (digest != NULL && *digest != '\0') {
        EVP_MD_free(operation->digest);
        operation->digest = EVP_MD_fetch(NULL, digest, NULL);
        if (operation->digest == NULL)
            return 0;
        operation->digest_name = digest_name(operation->digest);
        if (operation->digest_name == TLS_KEY_NO_DIGEST)
            return 0;
    }
    return parameters == NULL || signature_set(operation, parameters);
}

static int signature_make(void *data, unsigned char *out, size_t *out_bytes, size_t room_bytes,
                          const unsigned char *text, size_t text_bytes)
{
    const struct operation *operation = data;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_bytes = 0;
    struct tls_key_request request = { .use = TLS_KEY_SIGN_TEXT,
                                       .text = str_of((const char *)text, text_bytes) };
    autofree_buf struct buf result = { .limit = TLS_KEY_RESULT_MAX };

    if (out == NULL) {
        *out_bytes = (size_t)EVP_PKEY_get_size(operation->key->public);
        return 1;
    }
    if (operation->digest != NULL) {
        if (EVP_Digest(text, text_bytes, digest, &digest_bytes, operation->digest, NULL) != 1)
            return 0;
        request.use = operation->is_pss ? TLS_KEY_SIGN_PSS : TLS_KEY_SIGN;
        request.digest = operation->digest_name;
        request.text = str_of((const char *)digest, digest_bytes);
    }
    if (!ask(operation->key, &request, &result) || result.len == 0 || result.len > room_bytes)
        return 0;
    memcpy(out, result.ptr, result.len);
    *out_bytes = result.len;
    return 1;
}

static const OSSL_DISPATCH signature_functions[] = {
    { OSSL_FUNC_SIGNATURE_NEWCTX, FUNCTION(operation_new) },
    { OSSL_FUNC_SIGNATURE_FREECTX, FUNCTION(operation_free) },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, FUNCTION(signature_init) },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN, FUNCTION(signature_make) },
    { OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, FUNCTION(signature_set) },
    { OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, FUNCTION(signature_settable) },
    { 0, NULL },
};

/* ---- RSA key exchange ---- */

static int decryption_set(void *data, const OSSL_PARAM parameters[])
{
    struct operation *operation = data;
    const OSSL_PARAM *padding =
        OSSL_PARAM_locate_const(parameters, OSSL_ASYM_CIPHER_PARAM_PAD_MODE);
    const OSSL_PARAM *client =
        OSSL_PARAM_locate_const(parameters, OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION);
    const OSSL_PARAM *negotiated =
        OSSL_PARAM_locate_const(parameters, OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION);
    int number = 0;

    if (padding != NULL)
        operation->is_premaster =
            OSSL_PARAM_get_int(padding, &number) && number == RSA_PKCS1_WITH_TLS_PADDING;
    if (padding != NULL && !operation->is_premaster)
        return 0;
    return (client == NULL || OSSL_PARAM_get_uint(client, &operation->client_version)) &&
           (negotiated == NULL || OSSL_PARAM_get_uint(negotiated, &operation->negotiated_version));
}

static const OSSL_PARAM *decryption_settable(void *data, void *provider)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_int(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL),
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, NULL),
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, NULL),
        OSSL_PARAM_END,
    };

    (void)data;
    (void)provider;
    return settable;
}

static int decryption_init(void *data, void *key, const OSSL_PARAM parameters[])
{
    struct operation *operation = data;

    operation->key = key;
    return parameters == NULL || decryption_set(operation, parameters);
}

static int decryption_make(void *data, unsigned char *out, size_t *out_bytes, size_t room_bytes,
                           const unsigned char *text, size_t text_bytes)
{
    const struct operation *operation = data;
    struct tls_key_request request = { .use = TLS_KEY_DECRYPT,
                                       .client_version = operation->client_version,
                                       .negotiated_version = operation->negotiated_version,
                                       .text = str_of((const char *)text, text_bytes) };
    autofree_buf struct buf result = { .limit = TLS_KEY_RESULT_MAX };

    *out_bytes = PREMASTER_BYTES;
    if (out == NULL)
        return 1;
    bool is_done = operation->is_premaster && room_bytes >= PREMASTER_BYTES &&
                   ask(operation->key, &request, &result) && result.len == PREMASTER_BYTES;
    if (is_done)
        memcpy(out, result.ptr, PREMASTER_BYTES);
    OPENSSL_cleanse(result.ptr, result.len);
    return is_done;
}

static const OSSL_DISPATCH decryption_functions[] = {
    { OSSL_FUNC_ASYM_CIPHER_NEWCTX, FUNCTION(decryption_new) },
    { OSSL_FUNC_ASYM_CIPHER_FREECTX, FUNCTION(operation_free) },
    { OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, FUNCTION(decryption_init) },
    { OSSL_FUNC_ASYM_CIPHER_DECRYPT, FUNCTION(decryption_make) },
    { OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS, FUNCTION(decryption_set) },
    { OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS, FUNCTION(decryption_settable) },
    { 0, NULL },
};

/* ---- the provider ---- */

/* By all the names that libssl knows a kind of key by. */
#define RSA_NAMES "RSA:rsaEncryption"
#define PSS_NAMES "RSA-PSS:RSASSA-PSS"
#define EC_NAMES  "EC:id-ecPublicKey"
#define DSA_NAMES "DSA:dsaEncryption"
#define KIND(names, functions)                                                                     \
    {                                                                                              \
        (names), "provider=" PROVIDER, (functions), NULL                                           \
    }
#define KINDS(functions)                                                                           \
    KIND(RSA_NAMES, functions), KIND(PSS_NAMES, functions), KIND(EC_NAMES, functions),             \
        KIND(DSA_NAMES, functions), KIND("ED25519", functions), KIND("ED448", functions)
#define KINDS_END                                                                                  \
    {                                                                                              \
        NULL, NULL, NULL, NULL                                                                     \
    }

static const OSSL_ALGORITHM keys[] = { KINDS(key_functions), KINDS_END };
static const OSSL_ALGORITHM signatures[] = { KINDS(signature_functions), KINDS_END };
static const OSSL_ALGORITHM ciphers[] = { KIND(RSA_NAMES, decryption_functions), KINDS_END };

static const OSSL_ALGORITHM *query(void *provider, int operation, int *is_temporary)
{
    (void)provider;
    *is_temporary = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return keys;
    case OSSL_OP_SIGNATURE:
        return signatures;
    case OSSL_OP_ASYM_CIPHER:
        return ciphers;
    default:
        return NULL;
    }
}

static const OSSL_DISPATCH provider_functions[] = {
    { OSSL_FUNC_PROVIDER_QUERY_OPERATION, FUNCTION(query) },
    { 0, NULL },
};

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
                         const OSSL_DISPATCH **functions, void **provider)
{
    (void)core;
    *functions = provider_functions;
    *provider = (void *)(uintptr_t)handle; /* it keeps nothing, but must be something */
    return 1;
}

static struct tls_provider *provider_new(void)
{
    struct tls_provider *provider = memory_new(sizeof *provider);

    provider->library = OSSL_LIB_CTX_new();
    ensure(provider->library != NULL &&
           OSSL_PROVIDER_add_builtin(provider->library, PROVIDER, provider_init) == 1);
    provider->provider = OSSL_PROVIDER_load(provider->library, PROVIDER);
    ensure(provider->provider != NULL);
    return provider;
}

void tls_key_holder_clear(struct tls_key_holder *holder)
{
    struct tls_provider *provider = holder->provider;

    if (provider == NULL)
        return;
    OSSL_PROVIDER_unload(provider->provider);
    OSSL_LIB_CTX_free(provider->library);
    memory_free(provider);
    holder->provider = NULL;
}

bool tls_key_name(const X509 *certificate, unsigned char name[TLS_KEY_NAME_BYTES])
{
    unsigned char *bytes = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &bytes);
    bool is_made = len > 0 && EVP_Digest(bytes, (size_t)len, name, NULL, EVP_sha256(), NULL) == 1;

    OPENSSL_free(bytes);
    return is_made;
}

EVP_PKEY *tls_provider_key(const struct tls_context *context, const X509 *certificate)
{
    struct tls_key_holder *holder = context->holder;
    struct provided_key key = { .public = X509_get0_pubkey(certificate),
                                .holder = holder,
                                .owner = context->key_owner };
    const struct provided_key *given = &key;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(KEY_PARAMETER, &given, sizeof given),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *made = NULL;

    if (key.public == NULL || !tls_key_name(certificate, key.name))
        return NULL;
    if (holder->provider == NULL)
        holder->provider = provider_new();
    EVP_PKEY_CTX *making = EVP_PKEY_CTX_new_from_name(holder->provider->library,
                                                      EVP_PKEY_get0_type_name(key.public), NULL);
    if (making == NULL || EVP_PKEY_fromdata_init(making) != 1 ||
        EVP_PKEY_fromdata(making, &made, EVP_PKEY_KEYPAIR, parameters) != 1)
        made = NULL;
    EVP_PKEY_CTX_free(making);
    return made;
}
