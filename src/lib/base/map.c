/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/ensure.h"
#include "base/memory.h"

#include <pthread.h>
#include <sys/random.h>

enum { SLOTS_FIRST = 16 };

struct slot {
    uint64_t hash;
    char *key; /* NULL: free */
    size_t key_len;
    void *value;
};

/* Open addressing with linear probing; a removal moves later members of the run back, so there are
 * no tombstones. At most three quarters full. */
struct map {
    struct slot *slots;
    size_t slot_count; /* a power of two */
    size_t used;
};

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_make(void)
{
    ensure(getrandom(seed, sizeof seed, 0) == (ssize_t)sizeof seed);
}

static inline uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein). */
uint64_t map_hash(struct str key)
{
    pthread_once(&seed_once, seed_make);
    uint64_t v[4] = { seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d,
                      seed[0] ^ 0x6c7967656e657261, seed[1] ^ 0x7465646279746573 };
    size_t at = 0;

    for (; at + 8 <= key.len; at += 8) {
        uint64_t word;
        memcpy(&word, key.ptr + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)key.len << 56;
    for (size_t i = 0; at + i < key.len; i++)
        last |= (uint64_t)(unsigned char)key.ptr[at + i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void)
{
    struct map *map = memory_new(sizeof *map);

    map->slot_count = SLOTS_FIRST;
    map->slots = memory_new_array(map->slot_count, sizeof *map->slots);
    return map;
}

void map_free(struct map **map)
{
    if (*map == NULL)
        return;
    for (size_t i = 0; i < (*map)->slot_count; i++)
        memory_free((*map)->slots[i].key);
    memory_free((*map)->slots);
    memory_free(*map);
    *map = NULL;
}

/* The slot that holds the key, or the free one where it would go. */
static struct slot *slot_for(const struct map *map, struct str key, uint64_t hash)
{
    size_t mask = map->slot_count - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct slot *slot = &map->slots[i];
        if (slot->key == NULL)
            return slot;
        if (slot->hash == hash && str_equal(str_of(slot->key, slot->key_len), key))
            return slot;
    }
}

static void grow(struct map *map)
{
    struct map larger = { .slot_count = map->slot_count * 2, .used = map->used };

    larger.slots = memory_new_array(larger.slot_count, sizeof *larger.slots);
    for (size_t i = 0; i < map->slot_count; i++) {
        struct slot *slot = &map->slots[i];
        if (slot->key != NULL)
            *slot_for(&larger, str_of(slot->key, slot->key_len), slot->hash) = *slot;
    }
    memory_free(map->slots);
    *map = larger;
}

void *map_find(const struct map *map, struct str key)
{
    return slot_for(map, key, map_hash(key))->value;
}

void *map_set(struct map *map, struct str key, void *value)
{
    ensure(value != NULL);
    if ((map->used + 1) * 4 > map->slot_count * 3)
        grow(map);
    uint64_t hash = map_hash(key);
    struct slot *slot = slot_for(map, key, hash);
    void *old = slot->value;
    if (slot->key == NULL) {
        slot->key = memory_new(key.len + 1);
        if (key.len > 0)
            memcpy(slot->key, key.ptr, key.len);
        slot->key_len = key.len;
        slot->hash = hash;
        map->used++;
    }
    slot->value = value;
    return old;
}

/* Closes the gap that a removal left in a run of neighbours. */
static void close_gap(struct map *map, size_t gap)
{
    size_t mask = map->slot_count - 1;

    for (size_t i = (gap + 1) & mask; map->slots[i].key != NULL; i = (i + 1) & mask) {
        size_t home = map->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        map->slots[gap] = map->slots[i];
        map->slots[i] = (struct slot){ 0 };
        gap = i;
    }
}

void *map_remove(struct map *map, struct str key)
{
    struct slot *slot = slot_for(map, key, map_hash(key));
    void *old = slot->value;

    if (slot->key == NULL)
        return NULL;
    memory_free(slot->key);
    *slot = (struct slot){ 0 };
    map->used--;
    close_gap(map, (size_t)(slot - map->slots));
    return old;
}

size_t map_count(const struct map *map)
{
    return map->used;
}

bool map_next(const struct map *map, struct map_cursor *cursor)
{
    while (cursor->slot < map->slot_count) {
        const struct slot *slot = &map->slots[cursor->slot++];
        if (slot->key == NULL)
            continue;
        cursor->key = str_of(slot->key, slot->key_len);
        cursor->value = slot->value;
        return true;
    }
    return false;
}
