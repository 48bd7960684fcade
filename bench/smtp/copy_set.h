/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copies (mark.h) that have arrived: a hash set of their numbers, 12 to 24 bytes for each.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct copy_set {
    uint64_t *slots; /* 0 = free: no copy has that number */
    size_t slot_count;
    size_t count;
};

/* { 0 } is empty. */
void copy_set_free(struct copy_set *set);
/* False when it was there already. */
bool copy_set_add(struct copy_set *set, uint64_t copy);
bool copy_set_has(const struct copy_set *set, uint64_t copy);
