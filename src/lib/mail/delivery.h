/* SPDX-License-Identifier: Apache-2.0 */
/* The ends that a delivery attempt can have, as smtp, local and queue say them to each other. */
#pragma once

enum delivery_status {
    DELIVERY_SENT = 1,     /* status=sent */
    DELIVERY_DEFERRED = 2, /* status=deferred: try again */
    DELIVERY_BOUNCED = 3,  /* status=bounced: tell the sender */
    DELIVERY_UNDONE = 4,   /* not attempted (drain, cancel): as it was before, no back-off */
    DELIVERY_PASSED = 5,   /* another transport takes the recipient; the diagnostic is
                              "transport:nexthop". From smtp it is empty: best_mx_transport */
};

/* The destination as such, whatever became of single recipients: for concurrency (POSTFIX.md,
 * "Queue manager and scheduler"). */
enum site_outcome {
    SITE_WORKED = 1,
    SITE_FAILED = 2,    /* connection or handshake failure */
    SITE_UNTOUCHED = 3, /* nothing learned */
};
