/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the sasl role, which has Cyrus SASL (wire/sasl.def): what it offers, and exchanges with
 * clients. Used from fibers.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "loop/fiber.h"

enum cyrus_step {
    CYRUS_CONTINUES, /* `text` is the next challenge, base64 */
    CYRUS_ACCEPTS,   /* `user` is the user's name */
    CYRUS_REFUSES,   /* `text` is the reason */
    CYRUS_FAILS,     /* nobody can say just now; `text` says why */
};

struct cyrus_client;

struct cyrus_client *cyrus_client_new(struct loop *loop);
void cyrus_client_free(struct cyrus_client **client);
/* A (new) channel to the sasl role; takes over `fd`. */
must_check bool cyrus_client_attach(struct cyrus_client *client, int fd, struct error *error);

/* The mechanisms, separated by blanks. False: nobody answered. */
must_check bool cyrus_mechanisms(struct cyrus_client *client, struct arena *arena,
                                 int64_t deadline_ms, struct str *names);

struct cyrus_request {
    struct str service, host, realm; /* "smtp", myhostname, smtpd_sasl_local_domain */
    struct str mechanism;
    bool has_initial;
    struct str initial; /* base64 */
};
/* The strings that it gives live in `arena`. After anything but CYRUS_CONTINUES it is over. */
struct cyrus_exchange {
    struct cyrus_client *client;
    struct arena *arena;
    uint64_t query, peer; /* which one knows it */
    struct str text, user;
};
enum cyrus_step cyrus_start(struct cyrus_client *client, struct arena *arena,
                            const struct cyrus_request *request, int64_t deadline_ms,
                            struct cyrus_exchange *exchange);
enum cyrus_step cyrus_continue(struct cyrus_exchange *exchange, struct str response,
                               int64_t deadline_ms);
/* Ends it where the client gave up. */
void cyrus_end(struct cyrus_exchange *exchange);
