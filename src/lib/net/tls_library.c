/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_library.h"

#include <dlfcn.h>

/* Found beside the other modules by the program's run path. */
#define MODULE_NAME "waypost-tls.so"

static const struct tls_library *library; /* from tls_library_load on */

bool tls_library_load(struct error *error)
{
    if (library != NULL)
        return true;
    void *module = dlopen(MODULE_NAME, RTLD_NOW | RTLD_LOCAL);
    if (module == NULL)
        return error_set(error, "cannot load the TLS module: %s", dlerror());
    library = dlsym(module, "waypost_tls_library");
    return library != NULL || error_set(error, "%s is no TLS module: %s", MODULE_NAME, dlerror());
}

/* ---- net/tls.h: only with a context is there a connection, and only with the module a context */

struct tls_context *tls_context_new(const struct tls_context_options *options)
{
    struct error error = { 0 };

    if (tls_library_load(&error))
        return library->tls_context_new(options);
    if (options->warning.say != NULL)
        options->warning.say(options->warning.argument, error.message);
    return NULL;
}

void tls_context_free(struct tls_context **context)
{
    if (*context != NULL)
        library->tls_context_free(context);
}

bool tls_context_next_key(const struct tls_context *context, size_t *at, struct str *key)
{
    return library->tls_context_next_key(context, at, key);
}

struct tls *tls_new_server(struct tls_context *context, struct error *error)
{
    return library->tls_new_server(context, error);
}

struct tls *tls_new_client(struct tls_context *context, const struct tls_client_options *options,
                           struct error *error)
{
    return library->tls_new_client(context, options, error);
}

void tls_free(struct tls **tls)
{
    if (*tls != NULL)
        library->tls_free(tls);
}

void tls_set_transport(struct tls *tls, const struct tls_transport *transport)
{
    library->tls_set_transport(tls, transport);
}

enum tls_progress tls_handshake(struct tls *tls)
{
    return library->tls_handshake(tls);
}

enum tls_progress tls_read(struct tls *tls, char *room, size_t room_bytes, size_t *count)
{
    return library->tls_read(tls, room, room_bytes, count);
}

enum tls_progress tls_write(struct tls *tls, struct str bytes, size_t *count)
{
    return library->tls_write(tls, bytes, count);
}

void tls_close(struct tls *tls)
{
    library->tls_close(tls);
}

struct str tls_problem(const struct tls *tls)
{
    return library->tls_problem(tls);
}

enum tls_name_trouble tls_name_trouble(const struct tls *tls, struct str *name)
{
    return library->tls_name_trouble(tls, name);
}

void tls_get_facts(const struct tls *tls, struct arena *arena, struct tls_facts *facts)
{
    library->tls_get_facts(tls, arena, facts);
}

struct tls_session *tls_session_take(struct tls *tls)
{
    return library->tls_session_take(tls);
}

void tls_session_free(struct tls_session **session)
{
    if (*session != NULL)
        library->tls_session_free(session);
}

enum tls_pair_outcome tls_pair_inspect(const char *certificate_file, const char *key_file,
                                       int64_t *valid_from_s, int64_t *valid_until_s,
                                       struct error *error)
{
    if (!tls_library_load(error))
        return TLS_PAIR_UNREADABLE;
    return library->tls_pair_inspect(certificate_file, key_file, valid_from_s, valid_until_s,
                                     error);
}

/* ---- net/tls_keys.h ---- */

void tls_key_holder_clear(struct tls_key_holder *holder)
{
    if (holder->provider != NULL)
        library->tls_key_holder_clear(holder);
}

struct tls_keys *tls_keys_new(struct error *error)
{
    return tls_library_load(error) ? library->tls_keys_new(error) : NULL;
}

void tls_keys_free(struct tls_keys **keys)
{
    if (*keys != NULL)
        library->tls_keys_free(keys);
}

bool tls_keys_add_files(struct tls_keys *keys, const struct tls_files *files, struct str owner,
                        const struct tls_warning *warning)
{
    return library->tls_keys_add_files(keys, files, owner, warning);
}

bool tls_keys_add_chain(struct tls_keys *keys, struct str pem, struct str owner,
                        struct error *error)
{
    return library->tls_keys_add_chain(keys, pem, owner, error);
}

size_t tls_keys_count(const struct tls_keys *keys)
{
    return library->tls_keys_count(keys);
}

enum tls_key_outcome tls_keys_use(struct tls_keys *keys, const struct tls_key_request *request,
                                  struct buf *result)
{
    return library->tls_keys_use(keys, request, result);
}

/* ---- net/crypto.h ---- */

bool crypto_hash(enum crypto_digest digest, struct str text, unsigned char *out)
{
    struct error error = { 0 };

    return tls_library_load(&error) && library->crypto_hash(digest, text, out);
}

bool crypto_mac(enum crypto_digest digest, struct str key, struct str text, unsigned char *out)
{
    struct error error = { 0 };

    return tls_library_load(&error) && library->crypto_mac(digest, key, text, out);
}

bool crypto_stretch(enum crypto_digest digest, struct str password, struct str salt, int iterations,
                    unsigned char *out)
{
    struct error error = { 0 };

    return tls_library_load(&error) &&
           library->crypto_stretch(digest, password, salt, iterations, out);
}
