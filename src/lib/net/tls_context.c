/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/ensure.h"
#include "base/memory.h"
#include "net/tls_openssl.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>

/* ---- authorities ---- */

/* "0a1b2c3d.0": a certificate as c_rehash names it. */
static bool is_hashed_name(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");

    return digits == 8 && name[8] == '.' && name[9] >= '0' && name[9] <= '9';
}

/* The role will have no files when a certificate is looked for: all are read now. A folder that is
 * not there is no harm, as in Postfix. */
static void load_folder(X509_STORE *store, const char *folder)
{
    autoclear_arena struct arena arena = { 0 };
    DIR *entries = opendir(folder);
    const struct dirent *entry;

    if (entries == NULL)
        return;
    while ((entry = readdir(entries)) != NULL) {
        if (is_hashed_name(entry->d_name))
            (void)X509_STORE_load_file(store, arena_printf(&arena, "%s/%s", folder, entry->d_name));
    }
    closedir(entries);
    ERR_clear_error();
}

static bool load_authorities(const struct tls_context_options *options, SSL_CTX *library)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf problems = { 0 };
    const char *file = arena_text(&arena, options->files.ca_file);
    X509_STORE *store = SSL_CTX_get_cert_store(library);
    struct str rest, line;

    if (*file != '\0' && X509_STORE_load_file(store, file) != 1) {
        tls_problems_take(&problems);
        tls_warn(&options->warning,
                 "cannot load Certification Authority data, CAfile=\"%s\": disabling TLS support",
                 file);
        rest = buf_str(&problems);
        while (str_next_word(&rest, "\n", &line))
            tls_warn(&options->warning, "TLS library problem: %.*s", STR_ARGS(line));
        return false;
    }
    if (options->is_server && !options->asks_for_certificate)
        return true;
    if (options->files.ca_path.len > 0)
        load_folder(store, arena_text(&arena, options->files.ca_path));
    if (options->files.appends_default_ca) {
        (void)X509_STORE_load_file(store, X509_get_default_cert_file());
        load_folder(store, X509_get_default_cert_dir());
    }
    if (options->is_server && *file != '\0')
        SSL_CTX_set_client_CA_list(library, SSL_load_client_CA_file(file));
    ERR_clear_error();
    return true;
}

/* ---- tickets ---- */

static bool set_ticket_digest(EVP_MAC_CTX *digest, struct tls_ticket_key *key)
{
    char name[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->digest_key,
                                          sizeof key->digest_key),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(digest, parameters) == 1;
}

/* OpenSSL's contract: 1 go on, 2 go on and give a new ticket, 0 not one of ours, -1 failure. */
static int ticket_key(SSL *library, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *digest, int is_sealing)
{
    const struct tls_context *context = tls_of(library)->context;
    int64_t wall_s = clock_wall_ms() / 1000;
    struct tls_ticket_key key;
    bool is_current = true;

    if (is_sealing) {
        if (!tls_tickets_current(context->tickets, context->listener, wall_s, &key))
            return -1;
        memcpy(name, key.name, sizeof key.name);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
    } else if (!tls_tickets_find(context->tickets, context->listener, wall_s, name, &key,
                                 &is_current)) {
        return 0;
    }
    bool is_fine =
        EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher_key, iv, is_sealing) == 1 &&
        set_ticket_digest(digest, &key);
    OPENSSL_cleanse(&key, sizeof key);
    return !is_fine ? -1 : is_current ? 1 : 2;
}

static void set_sessions(struct tls_context *context, const struct tls_context_options *options)
{
    SSL_CTX *library = context->library;
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned id_len = 0;

    if (!options->is_server) {
        SSL_CTX_set_session_cache_mode(library, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        return;
    }
    SSL_CTX_set_session_cache_mode(library, SSL_SESS_CACHE_OFF);
    ensure(EVP_Digest(options->listener.ptr, options->listener.len, id, &id_len, EVP_sha256(),
                      NULL) == 1);
    SSL_CTX_set_session_id_context(library, id, id_len);
    if (options->session_lifetime_s <= 0 || options->tickets == NULL) {
        SSL_CTX_set_options(library, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(library, 0);
        return;
    }
    SSL_CTX_set_timeout(library, (long)options->session_lifetime_s);
    SSL_CTX_set_num_tickets(library, 1);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(library, ticket_key);
}

/* ---- the name that a client asks for ---- */

static bool is_host_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) && strchr("-_.", name.ptr[i]) == NULL)
            return false;
    return name.len > 0 && name.len < 256;
}

static int refuse_name(struct tls *tls, struct str name, enum tls_name_trouble trouble)
{
    tls->refused_name = arena_copy(&tls->arena, name);
    tls->name_trouble = trouble;
    return SSL_TLSEXT_ERR_NOACK;
}

static int servername_arrived(SSL *library, int *alert, void *argument)
{
    struct tls *tls = tls_of(library);
    struct str name = str_from(SSL_get_servername(library, TLSEXT_NAMETYPE_host_name));
    autofree_buf struct buf chain = { 0 };
    struct error error;

    (void)argument;
    if (tls->context->find_chain == NULL || name.len == 0)
        return SSL_TLSEXT_ERR_NOACK;
    if (!is_host_name(name))
        return refuse_name(tls, name, TLS_NAME_INVALID);
    switch (tls->context->find_chain(tls->context->argument, name, &chain)) {
    case TLS_CHAIN_ABSENT:
        return refuse_name(tls, name, TLS_NAME_UNMATCHED);
    case TLS_CHAIN_FOUND:
        if (tls_chain_use(tls->context, library, buf_str(&chain), "SNI chain", &error)) {
            tls->servername = arena_copy(&tls->arena, name);
            return SSL_TLSEXT_ERR_OK;
        }
        (void)refuse_name(tls, name, TLS_NAME_BROKEN);
        break;
    case TLS_CHAIN_BROKEN:
        (void)refuse_name(tls, name, TLS_NAME_BROKEN);
        break;
    case TLS_CHAIN_FAILED:
        break;
    }
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- the rest ---- */

uint64_t tls_protocols_refused(struct tls_protocols protocols)
{
    static const uint64_t bits[TLS_PROTOCOLS] = {
        0, SSL_OP_NO_SSLv3, SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1, SSL_OP_NO_TLSv1_2, SSL_OP_NO_TLSv1_3
    };
    uint64_t refused = SSL_OP_NO_SSLv3; /* OpenSSL of Debian does not speak it in any case */

    for (unsigned i = 0; i < TLS_PROTOCOLS; i++)
        if ((protocols.allowed >> i & 1) == 0)
            refused |= bits[i];
    return refused;
}

/* As SSL_CTX_set1_groups_list, which casts const away. */
static long set_groups(SSL_CTX *library, const char *names)
{
    return SSL_CTX_ctrl(library, SSL_CTRL_SET_GROUPS_LIST, 0, (void *)(uintptr_t)names);
}

/* One that this OpenSSL does not know is left out. */
static void set_curves(SSL_CTX *library, struct str curves)
{
    autoclear_arena struct arena arena = { 0 };
    const char *known = "";
    struct str word;

    while (str_next_word(&curves, ", \t\r\n:", &word)) {
        const char *name = arena_text(&arena, word);
        if (set_groups(library, name) == 1)
            known = arena_printf(&arena, "%s%s%s", known, *known != '\0' ? ":" : "", name);
    }
    if (*known != '\0')
        set_groups(library, known);
    ERR_clear_error();
}

static bool set_rules(struct tls_context *context, const struct tls_context_options *options)
{
    autoclear_arena struct arena arena = { 0 };
    SSL_CTX *library = context->library;

    SSL_CTX_set_min_proto_version(library, 0);
    SSL_CTX_set_max_proto_version(library, 0);
    /* An end without farewell is no attack here: SMTP says itself where things end. */
    SSL_CTX_set_options(library, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF |
                                     tls_protocols_refused(options->protocols));
    if (options->prefers_own_ciphers)
        SSL_CTX_set_options(library, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(library, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(library, 1);
    SSL_CTX_set_security_level(library, 1);
    SSL_CTX_set_dh_auto(library, 1);
    SSL_CTX_set_verify_depth(library, options->verify_depth);
    set_curves(library, options->curves);
    context->fingerprint_digest =
        EVP_get_digestbyname(arena_text(&arena, options->fingerprint_digest));
    if (context->fingerprint_digest == NULL) {
        tls_warn(&options->warning, "digest algorithm \"%.*s\" not found",
                 STR_ARGS(options->fingerprint_digest));
        return false;
    }
    if (options->cipher_list.len > 0 &&
        SSL_CTX_set_cipher_list(library, arena_text(&arena, options->cipher_list)) != 1) {
        ERR_clear_error();
        tls_warn(&options->warning, "no cipher in \"%.*s\"", STR_ARGS(options->cipher_list));
        return false;
    }
    return true;
}

static int transport_read(BIO *bio, char *room, int room_bytes)
{
    struct tls *tls = BIO_get_data(bio);
    ssize_t count = tls->transport.receive(tls->transport.argument, room, (size_t)room_bytes);

    BIO_clear_retry_flags(bio);
    if (count < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    else if (count <= 0)
        tls->has_ended = true;
    return (int)count;
}

static int transport_write(BIO *bio, const char *bytes, int len)
{
    struct tls *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    tls->transport.send(tls->transport.argument, str_of(bytes, (size_t)len));
    return len;
}

static long transport_control(BIO *bio, int command, long number, void *pointer)
{
    const struct tls *tls = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return tls->has_ended;
    return command == BIO_CTRL_FLUSH;
}

static bool set_transport(struct tls_context *context)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

    context->transport = method;
    return method != NULL && BIO_meth_set_read(method, transport_read) == 1 &&
           BIO_meth_set_write(method, transport_write) == 1 &&
           BIO_meth_set_ctrl(method, transport_control) == 1;
}

static bool fill(struct tls_context *context, const struct tls_context_options *options)
{
    if (options->is_server && !tls_files_have_keys(&options->files)) {
        tls_warn(&options->warning, "No server certs available. TLS won't be enabled");
        return false;
    }
    context->library = SSL_CTX_new(options->is_server ? TLS_server_method() : TLS_client_method());
    ensure(context->library != NULL && set_transport(context));
    if (!set_rules(context, options) || !load_authorities(options, context->library) ||
        !tls_chains_load(context, options))
        return false;
    set_sessions(context, options);
    if (options->is_server) {
        /* Verification never ends a handshake: what it found is a fact for whoever asks. */
        SSL_CTX_set_verify(context->library,
                           options->asks_for_certificate ? SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE
                                                         : SSL_VERIFY_NONE,
                           tls_certificate_verified);
        SSL_CTX_set_tlsext_servername_callback(context->library, servername_arrived);
    } else {
        SSL_CTX_set_verify(context->library, SSL_VERIFY_PEER, tls_certificate_verified);
        SSL_CTX_dane_enable(context->library);
    }
    return true;
}

struct tls_context *tls_context_new(const struct tls_context_options *options)
{
    struct tls_context *context = memory_new(sizeof *context);

    context->is_server = options->is_server;
    context->tickets = options->tickets;
    context->holder = options->holder;
    context->key_owner = arena_copy(&context->arena, options->key_owner);
    context->listener = arena_copy(&context->arena, options->listener);
    context->find_chain = options->find_chain;
    context->argument = options->argument;
    if (!fill(context, options))
        tls_context_free(&context);
    return context;
}

void tls_context_free(struct tls_context **context)
{
    if (*context == NULL)
        return;
    SSL_CTX_free((*context)->library);
    BIO_meth_free((*context)->transport);
    arena_clear(&(*context)->arena);
    memory_free(*context);
    *context = NULL;
}

bool tls_context_next_key(const struct tls_context *context, size_t *at, struct str *key)
{
    const struct tls_key_name *name = context->keys;

    for (size_t i = 0; name != NULL && i < *at; i++)
        name = name->next;
    if (name == NULL)
        return false;
    *key = str_of((const char *)name->bytes, sizeof name->bytes);
    (*at)++;
    return true;
}
