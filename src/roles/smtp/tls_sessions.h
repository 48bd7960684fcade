/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS sessions of servers, so that the next connection needs no full handshake. One for each
 * worker, in memory; bounded. A session is used for one connection, which then brings a newer one.
 */
#pragma once

#include "base/str.h"
#include "net/tls.h"

struct tls_sessions;

struct tls_sessions *tls_sessions_new(void);
void tls_sessions_free(struct tls_sessions **sessions);
/* NULL: none, or too old. Borrowed until the next call. */
const struct tls_session *tls_sessions_find(struct tls_sessions *sessions, struct str key,
                                            int64_t now_ms);
/* Takes over `session`. */
void tls_sessions_put(struct tls_sessions *sessions, struct str key, struct tls_session *session,
                      int64_t expires_ms);
