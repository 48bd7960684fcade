/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that DNSSEC begins with: DS or DNSKEY records of the root zone, as in Debian's package
 * dns-root-data and in unbound's root.key. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* `file` as configured; empty: Debian's file where there is one, or else what the root zone has
 * published until 2024, which is part of this program. */
must_check bool trust_anchors_read(struct str file, struct buf *text, struct error *error);
/* Takes the next record off `*text`, without comments; false at its end. Pure. */
bool trust_anchor_next(struct str *text, struct str *record);
