/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The latest answers, in front of libunbound: its own cache is a thread away, which costs several
 * times what the look-up does, and a busy relay asks for the same few names all the time. Bounded;
 * what was used longest ago goes first.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "net/dns.h"

enum { ANSWER_CACHE_ENTRIES = 1000, ANSWER_CACHE_MS_MAX = 60 * 1000 };

struct answer_cache {
    struct map *entries; /* struct answer_key as bytes → struct cached_answer */
    struct list by_use;  /* the latest used first */
};

void answer_cache_init(struct answer_cache *cache);
void answer_cache_clear(struct answer_cache *cache);

struct answer_key {
    enum dns_type type;
    bool is_validated; /* such answers and others are two things */
    struct str name;
};

/* NULL where it is not there or too old. Borrowed until the next call. */
const struct dns_answer *answer_cache_find(struct answer_cache *cache, const struct answer_key *key,
                                           int64_t now_ms);
/* Copies it; answers that say "try again" are not kept. */
void answer_cache_add(struct answer_cache *cache, const struct answer_key *key,
                      const struct dns_answer *answer, int64_t now_ms);
