/* SPDX-License-Identifier: Apache-2.0 */
#include "connection.h"
#include "base/ensure.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORD_BYTES = 16384 };

void tls_context_free(SSL_CTX **context)
{
    SSL_CTX_free(*context);
    *context = NULL;
}

SSL_CTX *tls_context_new(const char *certificate_file, const char *key_file, struct error *error)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());

    ensure(context != NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    if (certificate_file == NULL ||
        (SSL_CTX_use_certificate_chain_file(context, certificate_file) == 1 &&
         SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) == 1))
        return context;
    error_set(error, "certificate %s, key %s: cannot be used", certificate_file, key_file);
    tls_context_free(&context);
    return NULL;
}

bool connection_open(struct connection *connection, int fd, int epoll_fd, void *owner,
                     struct error *error)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = owner };
    int on = 1;

    *connection =
        (struct connection){ .fd = fd, .epoll_fd = epoll_fd, .owner = owner, .events = EPOLLIN };
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return true;
    error_errno(error, "epoll_ctl");
    connection_close(connection);
    return false;
}

void connection_close(struct connection *connection)
{
    SSL_free(connection->ssl);
    connection->ssl = NULL;
    connection->piece_count = 0;
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}

static void watch(struct connection *connection, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = connection->owner };

    if (events == connection->events)
        return;
    connection->events = events;
    ensure(epoll_ctl(connection->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) == 0);
}

void connection_pause(struct connection *connection, bool is_paused)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection->owner };

    connection->is_paused = is_paused;
    connection->events = EPOLLIN;
    ensure(epoll_ctl(connection->epoll_fd, is_paused ? EPOLL_CTL_DEL : EPOLL_CTL_ADD,
                     connection->fd, &event) == 0);
}

void connection_start_tls(struct connection *connection, SSL_CTX *context, bool is_server)
{
    connection->ssl = SSL_new(context);
    ensure(connection->ssl != NULL && SSL_set_fd(connection->ssl, connection->fd) == 1);
    if (is_server)
        SSL_set_accept_state(connection->ssl);
    else
        SSL_set_connect_state(connection->ssl);
}

/* What a TLS call that did not succeed waits for. */
static enum progress tls_wait(struct connection *connection, int result)
{
    switch (SSL_get_error(connection->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        watch(connection, EPOLLIN);
        return PROGRESS_WAITS;
    case SSL_ERROR_WANT_WRITE:
        watch(connection, EPOLLIN | EPOLLOUT);
        return PROGRESS_WAITS;
    default:
        ERR_clear_error();
        return PROGRESS_LOST;
    }
}

enum progress connection_handshake(struct connection *connection)
{
    int result = SSL_do_handshake(connection->ssl);

    if (result != 1)
        return tls_wait(connection, result);
    watch(connection, EPOLLIN);
    return PROGRESS_DONE;
}

ssize_t connection_receive(struct connection *connection, char *bytes, size_t len)
{
    if (connection->ssl != NULL) {
        int result = SSL_read(connection->ssl, bytes, (int)len);
        if (result > 0)
            return result;
        int why = SSL_get_error(connection->ssl, result);
        ERR_clear_error();
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
    ssize_t result = recv(connection->fd, bytes, len, 0);
    if (result > 0)
        return result;
    return result < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

bool connection_has_more(const struct connection *connection)
{
    return connection->ssl != NULL && SSL_has_pending(connection->ssl);
}

void connection_queue(struct connection *connection, struct str bytes)
{
    ensure(connection->piece_count < CONNECTION_PIECES);
    /* sendmsg only reads; its structure has no const. */
    connection->pieces[connection->piece_count++] =
        (struct iovec){ .iov_base = (void *)(uintptr_t)bytes.ptr, .iov_len = bytes.len };
}

static void drop_sent(struct connection *connection, size_t len)
{
    size_t whole = 0;

    while (whole < connection->piece_count && len >= connection->pieces[whole].iov_len)
        len -= connection->pieces[whole++].iov_len;
    connection->piece_count -= whole;
    memmove(connection->pieces, connection->pieces + whole,
            connection->piece_count * sizeof *connection->pieces);
    if (connection->piece_count > 0) {
        connection->pieces[0].iov_base = (char *)connection->pieces[0].iov_base + len;
        connection->pieces[0].iov_len -= len;
    }
}

static enum progress send_clear(struct connection *connection)
{
    struct msghdr message = { .msg_iov = connection->pieces,
                              .msg_iovlen = connection->piece_count };
    ssize_t sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL);

    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? PROGRESS_WAITS : PROGRESS_LOST;
    drop_sent(connection, (size_t)sent);
    return PROGRESS_DONE;
}

/* Short pieces share a record. What is repeated after a wait is gathered anew, from the same
 * place: the same bytes, as OpenSSL demands. */
static enum progress send_record(struct connection *connection)
{
    char record[RECORD_BYTES];
    size_t len = 0;

    for (size_t i = 0; i < connection->piece_count && len < sizeof record; i++) {
        size_t part = connection->pieces[i].iov_len;
        if (part > sizeof record - len)
            part = sizeof record - len;
        memcpy(record + len, connection->pieces[i].iov_base, part);
        len += part;
    }
    int sent = SSL_write(connection->ssl, record, (int)len);
    if (sent <= 0)
        return tls_wait(connection, sent);
    drop_sent(connection, (size_t)sent);
    return PROGRESS_DONE;
}

enum progress connection_send(struct connection *connection)
{
    while (connection->piece_count > 0) {
        enum progress progress =
            connection->ssl != NULL ? send_record(connection) : send_clear(connection);
        if (progress == PROGRESS_WAITS && connection->ssl == NULL)
            watch(connection, EPOLLIN | EPOLLOUT);
        if (progress != PROGRESS_DONE)
            return progress;
    }
    watch(connection, EPOLLIN);
    return PROGRESS_DONE;
}
