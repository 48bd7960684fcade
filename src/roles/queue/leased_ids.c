/* SPDX-License-Identifier: Apache-2.0 */
#include "leased_ids.h"

#include "base/ensure.h"
#include "base/memory.h"

#include <string.h>

/* Blocks that are used up go; where that does not help, the oldest quarter goes. */
static void compact(struct leased_ids *ids)
{
    size_t kept = 0;

    for (size_t i = 0; i < ids->count; i++)
        if (ids->blocks[i].used_count < ids->blocks[i].count)
            ids->blocks[kept++] = ids->blocks[i];
    if (kept > LEASED_BLOCKS_MAX / 2) {
        size_t gone = LEASED_BLOCKS_MAX / 4;
        memmove(ids->blocks, ids->blocks + gone, (kept - gone) * sizeof ids->blocks[0]);
        kept -= gone;
    }
    ids->count = kept;
}

void leased_ids_add(struct leased_ids *ids, uint64_t first, uint32_t count)
{
    ensure(count <= LEASED_BLOCK_IDS);
    if (ids->count == LEASED_BLOCKS_MAX)
        compact(ids);
    if (ids->count == ids->capacity) {
        ids->capacity = ids->capacity > 0 ? ids->capacity * 2 : 8;
        ids->blocks = memory_resize(ids->blocks, ids->capacity * sizeof ids->blocks[0]);
    }
    ids->blocks[ids->count++] = (struct leased_block){ .first = first, .count = count };
}

bool leased_ids_use(struct leased_ids *ids, uint64_t queue_id)
{
    size_t low = 0, high = ids->count;

    while (low < high) { /* the last block that begins at or before the id */
        size_t middle = low + (high - low) / 2;
        if (ids->blocks[middle].first <= queue_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    struct leased_block *block = &ids->blocks[low - 1];
    uint64_t index = queue_id - block->first;
    if (index >= block->count || (block->used[index / 64] >> index % 64 & 1))
        return false;
    block->used[index / 64] |= (uint64_t)1 << index % 64;
    block->used_count++;
    return true;
}

void leased_ids_clear(struct leased_ids *ids)
{
    memory_free(ids->blocks);
    *ids = (struct leased_ids){ 0 };
}
