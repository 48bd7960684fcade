/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that uses OpenSSL is a module of its own, waypost-tls.so, which is loaded with the
 * first TLS context or digest. Every process that has libssl and libcrypto loaded pays half a
 * megabyte for their relocated tables, and most roles, and all commands, never need them.
 *
 * The functions of net/tls.h, net/tls_keys.h, net/tls_pair.h and net/crypto.h exist twice: in the
 * module, where they do the work, and in the program, where they find the module's (tls_library.c).
 * The module shows its own in one struct.
 */
#pragma once

#include "net/crypto.h"
#include "net/tls.h"
#include "net/tls_pair.h"

#define TLS_LIBRARY_FUNCTIONS(F)                                                                   \
    F(tls_context_new)                                                                             \
    F(tls_context_free)                                                                            \
    F(tls_context_next_key)                                                                        \
    F(tls_key_holder_clear)                                                                        \
    F(tls_keys_new)                                                                                \
    F(tls_keys_free)                                                                               \
    F(tls_keys_add_files)                                                                          \
    F(tls_keys_add_chain)                                                                          \
    F(tls_keys_count)                                                                              \
    F(tls_keys_use)                                                                                \
    F(tls_new_server)                                                                              \
    F(tls_new_client)                                                                              \
    F(tls_free)                                                                                    \
    F(tls_set_transport)                                                                           \
    F(tls_handshake)                                                                               \
    F(tls_read)                                                                                    \
    F(tls_write)                                                                                   \
    F(tls_close)                                                                                   \
    F(tls_problem)                                                                                 \
    F(tls_name_trouble)                                                                            \
    F(tls_get_facts)                                                                               \
    F(tls_session_take)                                                                            \
    F(tls_session_free)                                                                            \
    F(tls_pair_inspect)                                                                            \
    F(crypto_hash)                                                                                 \
    F(crypto_mac)                                                                                  \
    F(crypto_stretch)

struct tls_library {
#define TLS_LIBRARY_FUNCTION(name) __typeof__(name) *name;
    TLS_LIBRARY_FUNCTIONS(TLS_LIBRARY_FUNCTION)
#undef TLS_LIBRARY_FUNCTION
};

/* What the module shows. */
extern const struct tls_library waypost_tls_library;

/* Loads the module, where that has not been done. For a role that will need it once it is confined
 * and can open no files any more. */
must_check bool tls_library_load(struct error *error);
