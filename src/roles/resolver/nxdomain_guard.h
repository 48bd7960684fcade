/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doubts a name server that suddenly says of many domains that they do not exist (a captive
 * network, a broken forwarder): bouncing all mail on its word would be beyond repair. While it is
 * doubted "no such name" means "try again". Counts distinct domains asked for their MX within a
 * minute. A pure value, no clock of its own.
 */
#pragma once

#include "base/str.h"

enum {
    NXDOMAIN_GUARD_WINDOW_MS = 60 * 1000,
    NXDOMAIN_GUARD_DOUBT_MS = 15 * 60 * 1000,
    NXDOMAIN_GUARD_DOMAINS_MIN = 20,
    NXDOMAIN_GUARD_PERCENT = 20,
    NXDOMAIN_GUARD_SLOTS = 256,
    NXDOMAIN_GUARD_PROBES = 32, /* slots that a domain may stand in */
};

struct nxdomain_guard {
    struct {
        uint64_t domain_hash;
        int64_t seen_ms;
        bool is_absent;
    } seen[NXDOMAIN_GUARD_SLOTS]; /* the latest answer for each domain; seen_ms 0 = free */
    int64_t doubts_until_ms;
};

/* Notes the answer for a domain. True when doubt begins with this answer. */
bool nxdomain_guard_note(struct nxdomain_guard *guard, struct str domain, bool is_absent,
                         int64_t now_ms);
bool nxdomain_guard_doubts(const struct nxdomain_guard *guard, int64_t now_ms);
