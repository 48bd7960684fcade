/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the role `keys`, which has the private keys of TLS (net/tls_keys.h). Every question
 * suspends the fiber. Where the newest keys process does not have a key, an older one that is about
 * to go may: sessions that began before a reload show its certificate. While there is none at all,
 * a successor is waited for, but not long. In the loop.
 */
#pragma once

#include "net/tls.h"

struct loop;
struct keys_client;

struct keys_client *keys_client_new(struct loop *loop);
/* After the last context that was made with its holder; nobody may be asking. */
void keys_client_free(struct keys_client **client);
/* A (new) channel to keys; takes over `fd`. */
must_check bool keys_client_attach(struct keys_client *client, int fd, struct error *error);

/* For struct tls_context_options; the client's. The owner of a key is the service of master.cf. */
struct tls_key_holder *keys_client_holder(struct keys_client *client);
/* Whether the keys for a context's own certificates can be used now. Mostly it is known. */
bool keys_client_has(struct keys_client *client, struct str service,
                     const struct tls_context *context);
/* The certificates that `maps`, that service's value of tls_server_sni_maps, have for a name; PEM
 * text with blank keys is appended. */
enum tls_chain_outcome keys_client_find_chain(struct keys_client *client, struct str service,
                                              struct str maps, struct str name, struct buf *chain);
