/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which queue ids a peer may still use: the blocks that were leased to it, with a bit for each id.
 * Every id can be used once. Bounded: the oldest blocks are forgotten when there are very many.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LEASED_BLOCK_IDS = 256, LEASED_BLOCKS_MAX = 4096 };

struct leased_block {
    uint64_t first;
    uint32_t count;
    uint32_t used_count;
    uint64_t used[LEASED_BLOCK_IDS / 64];
};

struct leased_ids {
    struct leased_block *blocks; /* in ascending order */
    size_t count, capacity;
};

/* `first` is higher than every id before; count at most LEASED_BLOCK_IDS. */
void leased_ids_add(struct leased_ids *ids, uint64_t first, uint32_t count);
/* False: it is not the peer's, or was used before. */
bool leased_ids_use(struct leased_ids *ids, uint64_t queue_id);
void leased_ids_clear(struct leased_ids *ids);
