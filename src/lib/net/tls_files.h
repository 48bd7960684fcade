/* SPDX-License-Identifier: Apache-2.0 */
/* Which files of keys and certificates a service of smtpd, smtp or lmtp names. Pure. */
#pragma once

#include "base/str.h"

struct config;

/* File names as main.cf has them; empty ones are absent. */
struct tls_files {
    struct str chain_files; /* a list; the six below are then not looked at */
    struct str rsa_cert, rsa_key, dsa_cert, dsa_key, ec_cert, ec_key;
    struct str ca_file, ca_path;
    bool appends_default_ca;
};

/* They borrow from the configuration, which of lmtp is config_use_lmtp's. */
struct tls_files tls_files_of_server(const struct config *config);
struct tls_files tls_files_of_client(const struct config *config);
bool tls_files_have_keys(const struct tls_files *files);

/* Whether the service needs keys: it speaks TLS, and has some. */
bool tls_files_server_wants_keys(const struct config *config);
bool tls_files_client_wants_keys(const struct config *config);
