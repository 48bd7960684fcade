/* SPDX-License-Identifier: Apache-2.0 */
/* DANE for SMTP (RFC 7672): what the signed zone of a server says of its certificate. Asks the
 * resolver, so the fiber is suspended. */
#pragma once

#include "delivery.h"
#include "target.h"

enum dane_outcome {
    DANE_FOUND,    /* records of a usage for SMTP; see tlsa_is_usable for the rest */
    DANE_ABSENT,   /* no records that are signed */
    DANE_UNUSABLE, /* only such that mean nothing to SMTP */
    DANE_FAILED,   /* nobody knows: nothing may be sent */
};

struct dane_records {
    struct tls_tlsa *items; /* in the delivery's arena */
    size_t count;
    struct str base; /* the name of the server that they belong to */
};

/* Why records are not used goes to the transport's log. */
enum dane_outcome dane_find(struct delivery *delivery, const struct target *target,
                            struct dane_records *records);
