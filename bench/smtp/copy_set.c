/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_set.h"
#include "base/memory.h"

enum { FIRST_SLOTS = 4096 };

void copy_set_free(struct copy_set *set)
{
    memory_free(set->slots);
    *set = (struct copy_set){ 0 };
}

/* Where it is, or where it would be. Neighbouring numbers are spread by a multiplication. */
static uint64_t *place_of(const struct copy_set *set, uint64_t copy)
{
    size_t at = (copy * 0x9e3779b97f4a7c15u >> 20) & (set->slot_count - 1);

    while (set->slots[at] != 0 && set->slots[at] != copy)
        at = (at + 1) & (set->slot_count - 1);
    return &set->slots[at];
}

static void grow(struct copy_set *set)
{
    struct copy_set larger = { .slot_count =
                                   set->slot_count > 0 ? set->slot_count * 2 : FIRST_SLOTS,
                               .count = set->count };

    larger.slots = memory_new_array(larger.slot_count, sizeof *larger.slots);
    for (size_t i = 0; i < set->slot_count; i++)
        if (set->slots[i] != 0)
            *place_of(&larger, set->slots[i]) = set->slots[i];
    memory_free(set->slots);
    *set = larger;
}

bool copy_set_add(struct copy_set *set, uint64_t copy)
{
    if (set->count * 3 >= set->slot_count * 2)
        grow(set);
    uint64_t *place = place_of(set, copy);
    if (*place == copy)
        return false;
    *place = copy;
    set->count++;
    return true;
}

bool copy_set_has(const struct copy_set *set, uint64_t copy)
{
    return set->slot_count > 0 && *place_of(set, copy) == copy;
}
