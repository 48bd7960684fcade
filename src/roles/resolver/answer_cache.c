/* SPDX-License-Identifier: Apache-2.0 */
#include "answer_cache.h"

#include "base/memory.h"

struct cached_answer {
    struct list by_use;
    struct buf key;
    struct arena arena; /* the answer's strings and records */
    struct dns_answer answer;
    int64_t expires_ms;
};

void answer_cache_init(struct answer_cache *cache)
{
    cache->entries = map_new();
    list_init(&cache->by_use);
}

static void entry_free(struct answer_cache *cache, struct cached_answer *entry)
{
    (void)map_remove(cache->entries, buf_str(&entry->key));
    list_remove(&entry->by_use);
    buf_free(&entry->key);
    arena_clear(&entry->arena);
    memory_free(entry);
}

void answer_cache_clear(struct answer_cache *cache)
{
    list_each_removable (link, &cache->by_use)
        entry_free(cache, list_entry(link, struct cached_answer, by_use));
    map_free(&cache->entries);
}

static void make_key(const struct answer_key *key, struct buf *bytes)
{
    buf_append_byte(bytes, (char)key->type);
    buf_append_byte(bytes, key->is_validated ? 'v' : '-');
    for (size_t i = 0; i < key->name.len; i++)
        buf_append_byte(bytes, ascii_lower(key->name.ptr[i]));
}

static struct cached_answer *find_entry(struct answer_cache *cache, const struct answer_key *key)
{
    autofree_buf struct buf bytes = { 0 };

    make_key(key, &bytes);
    return map_find(cache->entries, buf_str(&bytes));
}

const struct dns_answer *answer_cache_find(struct answer_cache *cache, const struct answer_key *key,
                                           int64_t now_ms)
{
    struct cached_answer *entry = find_entry(cache, key);

    if (entry == NULL)
        return NULL;
    if (now_ms >= entry->expires_ms) {
        entry_free(cache, entry);
        return NULL;
    }
    list_remove(&entry->by_use);
    list_prepend(&cache->by_use, &entry->by_use);
    return &entry->answer;
}

static bool copy_answer(struct cached_answer *entry, const struct dns_answer *answer)
{
    autofree_buf struct buf records = { 0 };

    entry->answer = *answer;
    entry->answer.canonical_name = arena_copy(&entry->arena, answer->canonical_name);
    entry->answer.reason = arena_copy(&entry->arena, answer->reason);
    dns_records_encode(answer->records, answer->record_count, &records);
    return dns_records_decode(&entry->arena, buf_str(&records), &entry->answer);
}

void answer_cache_add(struct answer_cache *cache, const struct answer_key *key,
                      const struct dns_answer *answer, int64_t now_ms)
{
    int64_t life_ms = (int64_t)answer->ttl_s * 1000;
    struct cached_answer *entry = find_entry(cache, key);

    if (entry != NULL)
        entry_free(cache, entry);
    if (answer->outcome == DNS_TRY_AGAIN)
        return;
    if (map_count(cache->entries) >= ANSWER_CACHE_ENTRIES)
        entry_free(cache, list_entry(cache->by_use.previous, struct cached_answer, by_use));
    entry = memory_new(sizeof *entry);
    list_init(&entry->by_use);
    make_key(key, &entry->key);
    entry->expires_ms = now_ms + (life_ms < ANSWER_CACHE_MS_MAX ? life_ms : ANSWER_CACHE_MS_MAX);
    (void)map_set(cache->entries, buf_str(&entry->key), entry);
    list_prepend(&cache->by_use, &entry->by_use);
    if (!copy_answer(entry, answer))
        entry_free(cache, entry);
}
