/* SPDX-License-Identifier: Apache-2.0 */
/* PEM text (RFC 7468), as far as certificates and private keys must be told apart. Pure. */
#pragma once

#include "base/buf.h"

enum tls_pem_kind {
    TLS_PEM_CERTIFICATE,
    TLS_PEM_KEY,   /* a private key */
    TLS_PEM_OTHER, /* parameters and such */
};

struct tls_pem_block {
    enum tls_pem_kind kind;
    struct str type; /* "RSA PRIVATE KEY" */
    struct str text; /* all of it, with both its lines; borrowed */
};

/* The next block; false at the end, which is also where one has no end. */
bool tls_pem_next(struct str *rest, struct tls_pem_block *block);
/* Appends what may be shown of it: the certificates, and for each private key one without content,
 * so that it stays seen where a key stood. */
void tls_pem_blank(struct str pem, struct buf *out);
