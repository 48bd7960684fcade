/* SPDX-License-Identifier: Apache-2.0 */
#include "caches.h"

#include "base/clock.h"
#include "base/memory.h"
#include "config/twins.h"
#include "service/kept_cache.h"
#include "service/login_cache.h"
#include "wire/wire.h"

struct cache {
    struct list link;
    struct str map; /* without "proxy:" */
    int64_t age_s_max;
    struct kept_cache kept;
};

static int64_t now_s(void)
{
    return clock_wall_ms() / 1000;
}

/* ---- entries: "time:value" ---- */

static bool parse_entry(struct str text, int64_t *stored_s, struct str *value)
{
    struct str time = str_cut(&text, ":");

    *value = text;
    return str_to_i64(time, stored_s) && *stored_s >= 0 && value->len > 0 &&
           value->len <= LOGIN_CACHE_VALUE_BYTES_MAX;
}

/* What was forgotten is old too. */
static bool is_old(void *argument, struct str key, struct str text)
{
    const struct cache *cache = argument;
    struct str value;
    int64_t stored_s;

    (void)key;
    return !parse_entry(text, &stored_s, &value) || now_s() - stored_s > cache->age_s_max;
}

/* ---- clients ---- */

static struct cache *find_cache(struct caches *caches, struct str map)
{
    list_each (link, &caches->caches) {
        struct cache *cache = list_entry(link, struct cache, link);
        if (str_equal(cache->map, map))
            return cache;
    }
    return NULL;
}

static bool on_find(struct asking *asking, struct str payload)
{
    autoclear_arena struct arena scratch = { 0 };
    struct wire_login_found answer = { .value = STR("") };
    struct wire_login_find query;
    struct str text;

    if (!wire_decode_login_find(asking->channel, payload, &query))
        return false;
    struct cache *cache = find_cache(asking->answerer->owner, query.map);
    answer.query = query.query;
    if (cache == NULL || !kept_cache_find(&cache->kept, &scratch, query.key, &text) ||
        !parse_entry(text, &answer.stored_s, &answer.value))
        answer.value = STR("");
    wire_send_login_found(asking->channel, &answer);
    return true;
}

static bool on_put(struct asking *asking, struct str payload)
{
    autofree_buf struct buf text = { 0 };
    struct wire_login_put put;

    if (!wire_decode_login_put(asking->channel, payload, &put) || put.key.len == 0 ||
        put.key.len > LOGIN_CACHE_KEY_BYTES_MAX || put.value.len > LOGIN_CACHE_VALUE_BYTES_MAX)
        return false;
    struct cache *cache = find_cache(asking->answerer->owner, put.map);
    if (cache == NULL)
        return true;
    buf_printf(&text, "%lld:%.*s", (long long)now_s(), STR_ARGS(put.value));
    kept_cache_put(&cache->kept, put.key, buf_str(&text));
    return true;
}

static bool asked(struct asking *asking, uint16_t number, struct str payload)
{
    if (number == WIRE_login_find)
        return on_find(asking, payload);
    return number == WIRE_login_put && on_put(asking, payload);
}

static const struct answerer_events questions = { .bytes = sizeof(struct asking),
                                                  .received = asked };

/* ---- life ---- */

/* What the service names, and how long it wants it kept; false: nothing. */
static bool find_wish(const struct config_source *source, const struct master_service *service,
                      struct arena *arena, struct str *map, int64_t *age_s)
{
    bool is_lmtp = str_equal(service->command, STR("lmtp"));
    struct error unused;

    if (!is_lmtp && !str_equal(service->command, STR("smtp")))
        return false;
    struct config *config = config_new(source, service, NULL, NULL, &unused);
    if (config == NULL)
        return false;
    if (is_lmtp)
        config_use_lmtp(config);
    bool is_found = login_cache_map(config, map, &unused) && map->len > 0;
    *map = arena_copy(arena, *map);
    *age_s = config->smtp_sasl_auth_cache_time;
    config_free(&config);
    return is_found;
}

static bool open_cache(struct caches *caches, struct str map, struct error *error)
{
    struct cache *cache = memory_new(sizeof *cache);

    cache->map = arena_copy(&caches->service->arena, map);
    list_append(&caches->caches, &cache->link);
    return kept_cache_open(&cache->kept, caches->service, "smtp_sasl_auth_cache_name", cache->map,
                           error);
}

bool caches_open(struct caches *caches, struct service *service, struct error *error)
{
    const struct master_cf *master_cf = &service->source->master_cf;

    caches->service = service;
    list_init(&caches->caches);
    answerer_init(&caches->clients, service->loop, &questions, caches);
    for (size_t i = 0; i < master_cf->count; i++) {
        autoclear_arena struct arena scratch = { 0 };
        struct str map;
        int64_t age_s;
        if (find_wish(service->source, &master_cf->services[i], &scratch, &map, &age_s) &&
            find_cache(caches, map) == NULL && !open_cache(caches, map, error))
            return false;
    }
    caches_configure(caches, service->source);
    return true;
}

void caches_configure(struct caches *caches, const struct config_source *source)
{
    const struct master_cf *master_cf = &source->master_cf;

    list_each (link, &caches->caches)
        list_entry(link, struct cache, link)->age_s_max = 0;
    for (size_t i = 0; i < master_cf->count; i++) {
        autoclear_arena struct arena scratch = { 0 };
        struct str map;
        int64_t age_s;
        if (!find_wish(source, &master_cf->services[i], &scratch, &map, &age_s))
            continue;
        struct cache *cache = find_cache(caches, map);
        if (cache == NULL)
            log_warning(&caches->service->log_context,
                        "smtp_sasl_auth_cache_name = proxy:%.*s is used after the next start",
                        STR_ARGS(map));
        else if (cache->age_s_max < age_s)
            cache->age_s_max = age_s;
    }
}

void caches_sweep(struct caches *caches)
{
    list_each (link, &caches->caches) {
        struct cache *cache = list_entry(link, struct cache, link);
        kept_cache_sweep(&cache->kept, is_old, cache);
    }
}

void caches_close(struct caches *caches)
{
    answerer_clear(&caches->clients);
    list_each_removable (link, &caches->caches) {
        struct cache *cache = list_entry(link, struct cache, link);
        list_remove(link);
        kept_cache_close(&cache->kept);
        memory_free(cache);
    }
}
