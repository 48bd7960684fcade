/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_tls_trust_anchor_file: certificates and public keys that are trusted in place of all
 * authorities, as the TLSA records that say the same. */
#pragma once

#include "net/tls.h"

enum { TRUST_FILE_ANCHORS_MAX = 100 };

struct trust_files {
    struct tls_tlsa anchors[TRUST_FILE_ANCHORS_MAX];
    size_t count;
};

/* Reads all files of `list` into `files`, whose data lives in `arena`. */
must_check bool trust_files_read(struct arena *arena, struct str list, struct trust_files *files,
                                 struct error *error);
