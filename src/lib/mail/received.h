/* SPDX-License-Identifier: Apache-2.0 */
/* Our own Received: header, in Postfix's form. */
#pragma once

#include "base/buf.h"

struct received {
    struct str myhostname;
    struct str mail_name;
    struct str queue_id;
    int64_t wall_s; /* arrival */

    /* From the network: */
    struct str helo_name; /* empty: the client's name stands in */
    struct str client_name;
    struct str client_address; /* bare; IPv6 gets its "IPv6:" here */
    struct str protocol;       /* "ESMTP" */
    struct str recipient;      /* internal form, where there is exactly one; else empty */
    struct str tls_comment;    /* a whole "(using …)" comment, or empty */
    struct str sasl_username;  /* shown only where the caller wants it shown */

    /* From sendmail: */
    bool is_local;
    uint32_t uid;

    /* Made here, a bounce: */
    bool is_internal;
};

/* Appends the header with its CRLF. */
void received_format(const struct received *received, struct buf *out);
