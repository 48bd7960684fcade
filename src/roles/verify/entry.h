/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one address, and when it is to be looked into again. Pure. In the cache an entry
 * is "status:probed:updated:reason", as in Postfix's.
 */
#pragma once

#include "base/buf.h"
#include "service/verify.h"

struct entry {
    enum verify_status status;
    int64_t probed_s;  /* wall clock: when a probe that has no result yet began; 0: none */
    int64_t updated_s; /* of the latest result; 0: none yet */
    struct str reason; /* borrowed */
};

/* address_verify_*_time. */
struct entry_ages {
    int64_t positive_expire_s, positive_refresh_s;
    int64_t negative_expire_s, negative_refresh_s;
};

/* Trusts nothing: the cache's file may come from anywhere. */
must_check bool entry_parse(struct str text, struct entry *entry);
void entry_format(const struct entry *entry, struct buf *out);
/* What a client is told of an address that is not in the cache. */
struct entry entry_unknown(void);

/* Too old to say anything. */
bool entry_is_expired(const struct entry *entry, const struct entry_ages *ages, int64_t now_s);
/* Whether to probe (again). */
bool entry_needs_probe(const struct entry *entry, const struct entry_ages *ages, int64_t now_s);
/* A result came. False: the entry stays as it is, because what was found well does not become bad
 * with one failure before it expires. */
bool entry_update(struct entry *entry, const struct entry_ages *ages, enum verify_status status,
                  struct str reason, int64_t now_s);
