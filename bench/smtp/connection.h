/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TCP connection of a bench program, in the clear or under TLS, never blocking. What is sent
 * is borrowed until it is gone: the owner keeps the bytes. It watches its descriptor in the
 * owner's epoll set: for input, and for room to write exactly while something waits to go out.
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

#include <openssl/ssl.h>
#include <stdint.h>
#include <sys/uio.h>

enum { CONNECTION_PIECES = 4 };

enum progress { PROGRESS_DONE, PROGRESS_WAITS, PROGRESS_LOST };

struct connection {
    int fd; /* -1 while closed */
    int epoll_fd;
    void *owner; /* what epoll_wait gives back */
    uint32_t events;
    SSL *ssl;
    bool is_paused;
    struct iovec pieces[CONNECTION_PIECES];
    size_t piece_count;
};

/* A context without verification of the peer; with a certificate for a server, both NULL for a
 * client. */
SSL_CTX *tls_context_new(const char *certificate_file, const char *key_file, struct error *error);
void tls_context_free(SSL_CTX **context);

/* Takes a connected, or connecting, non-blocking descriptor. */
must_check bool connection_open(struct connection *connection, int fd, int epoll_fd, void *owner,
                                struct error *error);
void connection_close(struct connection *connection);

/* From here on the bytes are TLS's; first comes the handshake, until it is PROGRESS_DONE. */
void connection_start_tls(struct connection *connection, SSL_CTX *context, bool is_server);
enum progress connection_handshake(struct connection *connection);

/* Up to `len` bytes: how many, 0 when there are none now, -1 at the end or after a failure. */
ssize_t connection_receive(struct connection *connection, char *bytes, size_t len);
/* Whether input is left that epoll will not tell of. */
bool connection_has_more(const struct connection *connection);
/* While paused nothing is announced, also not its end; nothing may be waiting to go out. */
void connection_pause(struct connection *connection, bool is_paused);

/* Adds a piece to what is to be sent; there may be CONNECTION_PIECES. */
void connection_queue(struct connection *connection, struct str bytes);
/* Sends what it can. PROGRESS_WAITS: call again when epoll says that there is room. */
enum progress connection_send(struct connection *connection);
