/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Postfix says of TLS connections, in logs and in Received: headers, in its words. As in
 * log_line.h, hostile bytes are neutralised by whoever writes the line.
 */
#pragma once

#include "net/tls.h"

struct tls_line {
    bool is_server;  /* we are */
    struct str peer; /* "name[address]" of a client, "name[address]:port" of a server */
    const struct tls_facts *facts;
};

/* "Anonymous TLS connection established from a[b]: TLSv1.3 with cipher … (256/256 bits) …" */
void tls_line_established(const struct tls_line *line, struct buf *out);
/* "certificate verification failed for a[b]: self-signed certificate"; nothing where there is no
 * more to say than "untrusted". */
void tls_line_unverified(const struct tls_line *line, struct buf *out);
/* "a[b]: subject_CN=…, issuer=…, fingerprint=…, pkey_fingerprint=…" */
void tls_line_certificate(const struct tls_line *line, struct buf *out);
/* The comment of a Received: header, folded: "(using TLSv1.3 with cipher …)\r\n\t(No client
 * certificate requested)". */
void tls_line_received(const struct tls_facts *facts, bool was_asked, struct buf *out);
