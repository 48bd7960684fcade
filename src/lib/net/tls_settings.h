/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of Postfix's TLS parameters: levels, protocol lists, cipher grades, log levels. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct config;

/* In the order of strength. */
enum tls_level {
    TLS_LEVEL_NONE,
    TLS_LEVEL_MAY,
    TLS_LEVEL_ENCRYPT,
    TLS_LEVEL_FINGERPRINT,
    TLS_LEVEL_DANE,
    TLS_LEVEL_DANE_ONLY,
    TLS_LEVEL_VERIFY,
    TLS_LEVEL_SECURE,
};

must_check bool tls_level_parse(struct str word, enum tls_level *level);
const char *tls_level_name(enum tls_level level);

enum tls_protocol { TLS_SSL2, TLS_SSL3, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3, TLS_PROTOCOLS };

/* Which versions may be spoken: a bit for each, 1 << enum tls_protocol. */
struct tls_protocols {
    unsigned allowed;
};

/* ">=TLSv1.2", "!SSLv3, !TLSv1", "TLSv1.2 TLSv1.3". False for a word that is none of these, or
 * where nothing is left. */
must_check bool tls_protocols_parse(struct str text, struct tls_protocols *protocols);

/* The cipher list of a grade (high, medium, low, export, null) with what is excluded, in OpenSSL's
 * syntax. False with `error` for an unknown grade or an exclusion that is no plain word. */
must_check bool tls_ciphers_make(struct arena *arena, const struct config *config, struct str grade,
                                 const struct str *exclusions, size_t exclusion_count,
                                 struct str *list, struct error *error);

/* smtp_tls_loglevel, smtpd_tls_loglevel: 0 to 4, or names. */
enum tls_log {
    TLS_LOG_SUMMARY = 1,   /* level 1: the connection line … */
    TLS_LOG_UNTRUSTED = 2, /* … and why a certificate is not trusted that must be */
    TLS_LOG_MATCH = 4,     /* level 2: names and fingerprints */
    TLS_LOG_CACHE = 8,     /* sessions */
    TLS_LOG_VERBOSE = 16,  /* beginnings of handshakes */
};
/* Words that it does not know are told to `unknown` (may be NULL) and mean nothing. */
unsigned tls_log_parse(struct str text, void (*unknown)(void *argument, struct str word),
                       void *argument);
