/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate and its key as files, looked at for the operator before anything depends on them.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

enum tls_pair_outcome {
    TLS_PAIR_FINE,
    TLS_PAIR_UNREADABLE, /* one of the files is missing, or is none of its kind: `error` */
    TLS_PAIR_MISMATCH,   /* the key is another certificate's */
};

/* Both may be the same file; the key must have no passphrase. The times, in seconds since
 * 1970-01-01 UTC, are those of the first certificate; they are set also where the keys do not
 * match. */
enum tls_pair_outcome tls_pair_inspect(const char *certificate_file, const char *key_file,
                                       int64_t *valid_from_s, int64_t *valid_until_s,
                                       struct error *error);
