/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value of smtp_tls_policy_maps: "secure match=example.com:.example.com ciphers=high". Pure.
 * What it does not understand makes it invalid: a policy must not become weaker by a slip of the
 * pen.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "net/tls_settings.h"

enum { TLS_MATCHES_MAX = 64 };

/* A list of names or fingerprints. */
struct tls_matches {
    struct str items[TLS_MATCHES_MAX];
    size_t count;
};

/* Empty: main.cf has the say. */
struct tls_entry {
    enum tls_level level;
    struct str protocols, ciphers, exclusions, servername;
    struct tls_matches matches;
    struct tls_matches mx_patterns; /* mx_host_pattern */
    struct tls_matches trust_files; /* tafile */
    bool has_reuse, may_reuse;      /* connection_reuse */
    struct str ignored;             /* an attribute that says nothing at level none */
};

/* Strings borrow from `text`. */
must_check bool tls_entry_parse(struct str text, struct tls_entry *entry, struct error *error);
/* False where there are too many. */
must_check bool tls_matches_add(struct tls_matches *matches, struct str list,
                                const char *separators);
