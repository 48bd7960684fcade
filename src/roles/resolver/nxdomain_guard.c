/* SPDX-License-Identifier: Apache-2.0 */
#include "nxdomain_guard.h"

#include "base/map.h"

bool nxdomain_guard_doubts(const struct nxdomain_guard *guard, int64_t now_ms)
{
    return now_ms < guard->doubts_until_ms;
}

/* The domain's own slot, else a free one, else the one that has been silent for the longest: two
 * domains with the same place in the table must not count as one. */
static size_t slot_for(const struct nxdomain_guard *guard, uint64_t hash)
{
    size_t start = (hash >> 8) % NXDOMAIN_GUARD_SLOTS;
    size_t best = start;

    for (size_t i = 0; i < NXDOMAIN_GUARD_PROBES; i++) {
        size_t slot = (start + i) % NXDOMAIN_GUARD_SLOTS;
        if (guard->seen[slot].domain_hash == hash)
            return slot;
        if (guard->seen[slot].seen_ms < guard->seen[best].seen_ms)
            best = slot;
    }
    return best;
}

bool nxdomain_guard_note(struct nxdomain_guard *guard, struct str domain, bool is_absent,
                         int64_t now_ms)
{
    uint64_t hash = map_hash(domain) | 1;
    size_t slot = slot_for(guard, hash);
    unsigned domains = 0, absent = 0;

    guard->seen[slot].domain_hash = hash;
    guard->seen[slot].seen_ms = now_ms;
    guard->seen[slot].is_absent = is_absent;
    if (!is_absent || nxdomain_guard_doubts(guard, now_ms))
        return false;
    for (size_t i = 0; i < NXDOMAIN_GUARD_SLOTS; i++) {
        if (guard->seen[i].domain_hash == 0 ||
            now_ms - guard->seen[i].seen_ms > NXDOMAIN_GUARD_WINDOW_MS)
            continue;
        domains++;
        absent += guard->seen[i].is_absent;
    }
    if (domains < NXDOMAIN_GUARD_DOMAINS_MIN || absent * 100 <= domains * NXDOMAIN_GUARD_PERCENT)
        return false;
    guard->doubts_until_ms = now_ms + NXDOMAIN_GUARD_DOUBT_MS;
    return true;
}
