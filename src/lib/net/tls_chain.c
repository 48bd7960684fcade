/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of a context or connection, and the chains of keys and certificates in PEM text. */
#include "base/ensure.h"
#include "base/file.h"
#include "net/tls_openssl.h"
#include "net/tls_pem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/mman.h>
#include <unistd.h>

void tls_warn(const struct tls_warning *warning, const char *format, ...)
{
    autofree_buf struct buf text = { 0 };
    va_list arguments;

    va_start(arguments, format);
    buf_vprintf(&text, format, arguments);
    va_end(arguments);
    if (warning->say != NULL)
        warning->say(warning->argument, buf_text(&text));
}

/* ---- chains ---- */

struct reading {
    const struct tls_chain_reader *reader;
    struct tls_chain chain;
    bool has_key; /* the chain's; it may be blank */
    int count;
    struct error *error;
};

static void chain_clear(struct tls_chain *chain)
{
    EVP_PKEY_free(chain->key);
    X509_free(chain->leaf);
    sk_X509_pop_free(chain->rest, X509_free);
    *chain = (struct tls_chain){ 0 };
}

static bool flush(struct reading *reading)
{
    const struct tls_chain_reader *reader = reading->reader;

    if (!reading->has_key)
        return true;
    if (reading->chain.leaf == NULL)
        return error_set(reading->error, "%s: a key is not followed by its certificate",
                         reader->name);
    bool is_taken = reader->take(reader->argument, &reading->chain, reading->error);
    chain_clear(&reading->chain);
    reading->has_key = reader->is_one;
    reading->count++;
    return is_taken;
}

/* A key that wants a password is of no use to a server that starts alone. */
int tls_no_password(char *room, int room_bytes, int is_writing, void *argument)
{
    (void)room;
    (void)room_bytes;
    (void)is_writing;
    (void)argument;
    return 0;
}

static bool add_key(struct reading *reading, struct str text)
{
    const struct tls_chain_reader *reader = reading->reader;

    if (reader->is_one)
        return true;
    if (!flush(reading))
        return false;
    reading->has_key = true;
    if (!reader->reads_keys)
        return true;
    BIO *in = BIO_new_mem_buf(text.ptr, (int)text.len);
    ensure(in != NULL);
    reading->chain.key = PEM_read_bio_PrivateKey(in, NULL, tls_no_password, NULL);
    BIO_free(in);
    ERR_clear_error();
    if (reading->chain.key != NULL)
        return true;
    bool is_sealed = str_find(text, STR("ENCRYPTED")) >= 0;
    return error_set(reading->error,
                     is_sealed ? "%s: a key wants a password" : "%s: a private key cannot be read",
                     reader->name);
}

static bool add_certificate(struct reading *reading, struct str text)
{
    struct tls_chain *chain = &reading->chain;
    BIO *in = BIO_new_mem_buf(text.ptr, (int)text.len);

    ensure(in != NULL);
    X509 *certificate = PEM_read_bio_X509_AUX(in, NULL, tls_no_password, NULL);
    BIO_free(in);
    ERR_clear_error();
    if (certificate == NULL)
        return error_set(reading->error, "%s: a certificate cannot be read", reading->reader->name);
    if (!reading->has_key) {
        X509_free(certificate);
        return error_set(reading->error, "%s: a certificate stands before the first key",
                         reading->reader->name);
    }
    if (chain->leaf == NULL) {
        chain->leaf = certificate;
        return true;
    }
    if (chain->rest == NULL)
        chain->rest = sk_X509_new_null();
    ensure(chain->rest != NULL && sk_X509_push(chain->rest, certificate) > 0);
    return true;
}

bool tls_chain_read(struct str pem, const struct tls_chain_reader *reader, struct error *error)
{
    struct reading reading = { .reader = reader, .has_key = reader->is_one, .error = error };
    struct tls_pem_block block;
    bool is_fine = true;

    while (is_fine && tls_pem_next(&pem, &block)) {
        if (block.kind == TLS_PEM_KEY)
            is_fine = add_key(&reading, block.text);
        else if (block.kind == TLS_PEM_CERTIFICATE)
            is_fine = add_certificate(&reading, block.text);
    }
    if (is_fine && (!reader->is_one || reading.chain.leaf != NULL))
        is_fine = flush(&reading);
    chain_clear(&reading.chain);
    if (!is_fine || reading.count > 0)
        return is_fine;
    return error_set(
        error, reader->is_one ? "%s: no certificate in it" : "%s: no key and certificate in it",
        reader->name);
}

/* ---- certificates, whose keys are elsewhere ---- */

static bool read_all(int fd, char *room, size_t room_bytes, size_t *len)
{
    ssize_t count = 0;

    *len = 0;
    while (*len < room_bytes && (count = read(fd, room + *len, room_bytes - *len)) > 0)
        *len += (size_t)count;
    return count >= 0;
}

/* The certificates of a file, which may hold private keys too. Nothing of them may stay in memory:
 * it is read into pages that are given back. */
static bool read_public(const char *path, struct buf *out, struct error *error)
{
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    size_t len = 0;

    if (fd < 0)
        return error_errno(error, "open %s", path);
    char *room =
        mmap(NULL, TLS_PEM_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return error_errno(error, "memory for %s", path);
    bool is_read =
        read_all(fd, room, TLS_PEM_BYTES_MAX, &len) || error_errno(error, "read %s", path);
    if (is_read && len == TLS_PEM_BYTES_MAX)
        is_read = error_set(error, "%s is too large", path);
    if (is_read)
        tls_pem_blank(str_of(room, len), out);
    munmap(room, TLS_PEM_BYTES_MAX);
    return is_read;
}

struct use {
    struct tls_context *context;
    SSL *library; /* NULL: all connections of the context */
    const char *name;
};

static bool use_chain(void *argument, const struct tls_chain *chain, struct error *error)
{
    struct use *use = argument;
    EVP_PKEY *key = tls_provider_key(use->context, chain->leaf);
    int status = 0;

    if (key != NULL)
        status =
            use->library != NULL
                ? SSL_use_cert_and_key(use->library, chain->leaf, key, chain->rest, 1)
                : SSL_CTX_use_cert_and_key(use->context->library, chain->leaf, key, chain->rest, 1);
    EVP_PKEY_free(key);
    if (status == 1 && use->library == NULL) {
        struct tls_key_name *name = arena_new(&use->context->arena, sizeof *name);
        status = tls_key_name(chain->leaf, name->bytes);
        name->next = use->context->keys;
        use->context->keys = name;
    }
    ERR_clear_error();
    return status == 1 || error_set(error, "%s: a certificate of no use", use->name);
}

bool tls_chain_use(struct tls_context *context, SSL *library, struct str pem, const char *name,
                   struct error *error)
{
    struct use use = { .context = context, .library = library, .name = name };
    const struct tls_chain_reader reader = { .name = name, .take = use_chain, .argument = &use };

    return tls_chain_read(pem, &reader, error);
}

static bool use_pair(struct tls_context *context, const struct tls_context_options *options,
                     struct str file, const char *kind)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf pem = { 0 };
    const char *path = arena_text(&arena, file);
    struct use use = { .context = context, .name = path };
    const struct tls_chain_reader reader = {
        .is_one = true, .name = path, .take = use_chain, .argument = &use
    };
    struct error error;

    if (file.len == 0 || str_equal_fold(file, STR("none")))
        return true;
    if (read_public(path, &pem, &error) && tls_chain_read(buf_str(&pem), &reader, &error))
        return true;
    tls_warn(&options->warning, "cannot get %s certificate from file \"%s\": disabling TLS support",
             kind, path);
    tls_warn(&options->warning, "TLS library problem: %s", error.message);
    return false;
}

static bool use_chain_files(struct tls_context *context, const struct tls_context_options *options)
{
    autofree_buf struct buf pem = { 0 };
    autoclear_arena struct arena arena = { 0 };
    struct str rest = options->files.chain_files, word;
    struct use use = { .context = context, .name = "chain" };
    const struct tls_chain_reader reader = { .name = "chain", .take = use_chain, .argument = &use };
    struct error error;

    while (str_next_word(&rest, ", \t\r\n", &word)) {
        if (!read_public(arena_text(&arena, word), &pem, &error)) {
            tls_warn(&options->warning, "error opening chain file: %s", error.message);
            return false;
        }
    }
    if (tls_chain_read(buf_str(&pem), &reader, &error))
        return true;
    tls_warn(&options->warning, "error loading private keys and certificates from: %.*s: %s",
             STR_ARGS(options->files.chain_files), error.message);
    return false;
}

bool tls_chains_load(struct tls_context *context, const struct tls_context_options *options)
{
    const struct tls_files *files = &options->files;

    if (!tls_files_have_keys(files))
        return true;
    ensure(options->holder != NULL);
    if (files->chain_files.len > 0)
        return use_chain_files(context, options);
    return use_pair(context, options, files->rsa_cert, "RSA") &&
           use_pair(context, options, files->dsa_cert, "DSA") &&
           use_pair(context, options, files->ec_cert, "ECDSA");
}
