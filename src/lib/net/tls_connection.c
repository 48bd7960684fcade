/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls.h"

#include "base/ensure.h"
#include "base/memory.h"
#include "net/tls_openssl.h"

#include <limits.h>
#include <openssl/err.h>

enum { PROBLEM_BYTES_MAX = 4096 };

struct tls *tls_of(const SSL *library)
{
    return SSL_get_app_data(library);
}

/* "error:0A00010B:SSL routines::wrong version number:ssl/record/ssl3_record.c:350:", as Postfix
 * logs it. */
void tls_problems_take(struct buf *out)
{
    const char *file, *data;
    int line, flags;
    unsigned long code;
    char text[256];

    while ((code = ERR_get_error_all(&file, &line, NULL, &data, &flags)) != 0) {
        ERR_error_string_n(code, text, sizeof text);
        buf_printf(out, "%s:%s:%d:", text, file, line);
        if (flags & ERR_TXT_STRING)
            buf_printf(out, "%s:", data);
        buf_append_byte(out, '\n');
    }
}

/* ---- new and free ---- */

/* TLS 1.3 gives sessions when it pleases; the latest one is the best. */
static int session_arrived(SSL *library, SSL_SESSION *session)
{
    struct tls *tls = tls_of(library);

    SSL_SESSION_free(tls->session);
    tls->session = session;
    return 1; /* the reference is ours */
}

static struct tls *tls_new(struct tls_context *context)
{
    struct tls *tls = memory_new(sizeof *tls);
    BIO *bio = BIO_new(context->transport);

    tls->context = context;
    tls->verify_depth = -1;
    tls->problem.limit = PROBLEM_BYTES_MAX;
    tls->library = SSL_new(context->library);
    ensure(tls->library != NULL && bio != NULL);
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->library, bio, bio);
    SSL_set_app_data(tls->library, tls);
    return tls;
}

struct tls *tls_new_server(struct tls_context *context, struct error *error)
{
    struct tls *tls = tls_new(context);

    (void)error;
    SSL_set_accept_state(tls->library);
    return tls;
}

static const struct str *copy_all(struct arena *arena, const struct str *texts, size_t count)
{
    struct str *copies = arena_new_array(arena, count + 1, sizeof *copies);

    for (size_t i = 0; i < count; i++)
        copies[i] = arena_copy(arena, texts[i]);
    return copies;
}

/* As SSL_set_tlsext_host_name, which casts const away. */
static long set_host_name(SSL *library, const char *name)
{
    return SSL_ctrl(library, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                    (void *)(uintptr_t)name);
}

static bool set_tlsa(struct tls *tls, const struct tls_client_options *options, struct error *error)
{
    size_t usable = 0;

    if (SSL_dane_enable(tls->library, arena_text(&tls->arena, options->tlsa_base)) <= 0)
        return error_set(error, "error enabling DANE-based certificate validation");
    SSL_dane_set_flags(tls->library, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    if (options->servername.len == 0)
        (void)set_host_name(tls->library, NULL); /* the library has put the base there */
    for (size_t i = 0; i < options->tlsa_count; i++) {
        const struct tls_tlsa *record = &options->tlsa[i];
        if (SSL_dane_tlsa_add(tls->library, record->usage, record->selector, record->matching_type,
                              (const unsigned char *)record->data.ptr, record->data.len) > 0)
            usable++;
    }
    ERR_clear_error();
    for (size_t i = 1; i < options->name_count; i++)
        SSL_add1_host(tls->library, arena_text(&tls->arena, options->names[i]));
    return usable > 0 || error_set(error, "TLSA records unusable");
}

static bool set_client(struct tls *tls, const struct tls_client_options *options,
                       struct error *error)
{
    SSL *library = tls->library;

    SSL_set_options(library, tls_protocols_refused(options->protocols));
    if (SSL_set_cipher_list(library, arena_text(&tls->arena, options->cipher_list)) != 1) {
        ERR_clear_error();
        return error_set(error, "no cipher in \"%.*s\"", STR_ARGS(options->cipher_list));
    }
    if (options->servername.len > 0 &&
        set_host_name(library, arena_text(&tls->arena, options->servername)) != 1)
        return error_set(error, "error setting SNI hostname to: %.*s",
                         STR_ARGS(options->servername));
    if (options->tlsa_count > 0 && !set_tlsa(tls, options, error))
        return false;
    tls->check = options->check;
    tls->names = copy_all(&tls->arena, options->names, options->name_count);
    tls->name_count = options->name_count;
    tls->fingerprints = copy_all(&tls->arena, options->fingerprints, options->fingerprint_count);
    tls->fingerprint_count = options->fingerprint_count;
    return true;
}

/* A copy: OpenSSL marks a session as used up as soon as a newer one comes, and other connections
 * may be about to go on with it. */
static void go_on_with(struct tls *tls, const struct tls_session *session)
{
    SSL_SESSION *copy = SSL_SESSION_dup((const SSL_SESSION *)(const void *)session);

    if (copy != NULL)
        SSL_set_session(tls->library, copy);
    SSL_SESSION_free(copy);
}

struct tls *tls_new_client(struct tls_context *context, const struct tls_client_options *options,
                           struct error *error)
{
    struct tls *tls = tls_new(context);

    SSL_set_connect_state(tls->library);
    SSL_CTX_sess_set_new_cb(context->library, session_arrived);
    if (!set_client(tls, options, error))
        tls_free(&tls);
    else if (options->session != NULL)
        go_on_with(tls, options->session);
    return tls;
}

void tls_free(struct tls **tls)
{
    if (*tls == NULL)
        return;
    /* Without this OpenSSL takes a connection that just ended for an attack that cut it off, and
     * its session, which others may have by now, for spoilt. SMTP tells its own end. */
    if (SSL_is_init_finished((*tls)->library))
        SSL_set_shutdown((*tls)->library, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free((*tls)->library);
    SSL_SESSION_free((*tls)->session);
    buf_free(&(*tls)->problem);
    arena_clear(&(*tls)->arena);
    memory_free(*tls);
    *tls = NULL;
}

/* ---- the stream's end ---- */

void tls_set_transport(struct tls *tls, const struct tls_transport *transport)
{
    tls->transport = *transport;
}

static enum tls_progress progress(struct tls *tls, int status)
{
    int reason = SSL_get_error(tls->library, status);

    if (status > 0)
        return TLS_DONE;
    if (reason == SSL_ERROR_WANT_READ)
        return TLS_WANTS_INPUT;
    if (reason == SSL_ERROR_ZERO_RETURN)
        return TLS_ENDED;
    if (tls->has_ended) {
        ERR_clear_error();
        return TLS_ENDED;
    }
    tls_problems_take(&tls->problem);
    return TLS_FAILED;
}

/* The queue of errors is the thread's: what another conversation left there is not ours. */
enum tls_progress tls_handshake(struct tls *tls)
{
    ERR_clear_error();
    return progress(tls, SSL_do_handshake(tls->library));
}

enum tls_progress tls_read(struct tls *tls, char *room, size_t room_bytes, size_t *count)
{
    ERR_clear_error();
    int status = SSL_read(tls->library, room, room_bytes < INT_MAX ? (int)room_bytes : INT_MAX);
    *count = status > 0 ? (size_t)status : 0;
    return progress(tls, status);
}

enum tls_progress tls_write(struct tls *tls, struct str bytes, size_t *count)
{
    ERR_clear_error();
    int status = SSL_write(tls->library, bytes.ptr, bytes.len < INT_MAX ? (int)bytes.len : INT_MAX);
    *count = status > 0 ? (size_t)status : 0;
    return progress(tls, status);
}

void tls_close(struct tls *tls)
{
    ERR_clear_error();
    if (SSL_is_init_finished(tls->library))
        (void)SSL_shutdown(tls->library);
    ERR_clear_error();
}

/* ---- facts ---- */

struct str tls_problem(const struct tls *tls)
{
    return buf_str(&tls->problem);
}

enum tls_name_trouble tls_name_trouble(const struct tls *tls, struct str *name)
{
    *name = tls->refused_name;
    return tls->name_trouble;
}

void tls_get_facts(const struct tls *tls, struct arena *arena, struct tls_facts *facts)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->library);

    *facts = (struct tls_facts){
        .protocol = str_from(SSL_get_version(tls->library)),
        .cipher = arena_copy(arena, str_from(SSL_CIPHER_get_name(cipher))),
        .is_resumed = SSL_session_reused(tls->library) != 0,
        .details = tls_handshake_details(tls, arena),
        .servername = arena_copy(arena, tls->servername),
    };
    facts->use_bits = SSL_CIPHER_get_bits(cipher, &facts->algorithm_bits);
    tls_certificate_facts(tls, arena, facts);
}

/* ---- sessions ---- */

struct tls_session *tls_session_take(struct tls *tls)
{
    SSL_SESSION *session = tls->session;

    tls->session = NULL;
    if (session != NULL && SSL_SESSION_is_resumable(session))
        return (struct tls_session *)(void *)session;
    SSL_SESSION_free(session);
    return NULL;
}

void tls_session_free(struct tls_session **session)
{
    SSL_SESSION_free((SSL_SESSION *)(void *)*session);
    *session = NULL;
}
