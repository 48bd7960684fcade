/* SPDX-License-Identifier: Apache-2.0 */
#include "service/kept_cache.h"

#include "service/spool.h"
#include "table/table.h"

#include <unistd.h>

enum { WRITE_MS = 1000, WRITE_AGAIN_MS = 60 * 1000 };

/* "btree:/var/lib/postfix/verify_cache" to the file that it is here; NULL: in memory. */
static const char *path_of_map(struct service *service, const char *parameter, struct str map)
{
    static const char *const types[] = { "btree", "hash", "lmdb" };
    struct str name = str_trim(map);
    struct str type = str_cut(&name, ":");

    if (str_equal(type, STR("proxy"))) {
        if (!table_is_proxied(service->config->proxy_write_maps, name)) {
            log_warning(&service->log_context,
                        "proxywrite service is not configured for table \"%.*s\": results are "
                        "kept in memory until the next start",
                        STR_ARGS(name));
            return NULL;
        }
        type = str_cut(&name, ":");
    }
    if (type.len == 0)
        return NULL;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (str_equal(type, str_from(types[i])) && name.len > 0 && name.ptr[0] == '/')
            return arena_printf(&service->arena, "%.*s.lmdb", STR_ARGS(name));
    log_warning(&service->log_context,
                "%s = %.*s cannot keep a cache here; use lmdb:/path. Results are kept in memory "
                "until the next start",
                parameter, STR_ARGS(map));
    return NULL;
}

static struct cache_file *open_file(struct service *service, const char *path, struct error *error)
{
    error->message[0] = '\0';
    struct cache_file *file = cache_file_open(path, error);

    if (file == NULL) {
        log_warning(&service->log_context, "%s: results are kept in memory until the next start",
                    error->message);
        return cache_file_open(NULL, error);
    }
    if (error->message[0] != '\0')
        log_warning(&service->log_context, "%s", error->message);
    return file;
}

/* The file belongs to mail_owner, whoever we are before the confinement. */
bool kept_cache_open(struct kept_cache *cache, struct service *service, const char *parameter,
                     struct str map, struct error *error)
{
    const char *path = path_of_map(service, parameter, map);
    bool is_root = geteuid() == 0;
    struct spool_owner owner;

    *cache = (struct kept_cache){ .loop = service->loop,
                                  .log = service->log_context,
                                  .map = arena_copy(&service->arena, map) };
    if (!spool_owner_find(service->config, &owner, error))
        return false;
    if (is_root && (setegid(owner.gid) < 0 || seteuid(owner.uid) < 0))
        return error_errno(error, "become the mail_owner");
    cache->file = open_file(service, path, error);
    if (is_root && (seteuid(0) < 0 || setegid(0) < 0))
        return error_errno(error, "become root again");
    return cache->file != NULL;
}

bool kept_cache_find(const struct kept_cache *cache, struct arena *arena, struct str key,
                     struct str *value)
{
    return cache_file_find(cache->file, arena, key, value);
}

static void write_expired(struct timer *timer)
{
    struct kept_cache *cache = list_entry(timer, struct kept_cache, write);
    struct error error;

    if (cache_file_write(cache->file, &error))
        return;
    log_warning(&cache->log, "%s", error.message);
    timer_set(cache->loop, timer, loop_now_ms(cache->loop) + WRITE_AGAIN_MS, write_expired);
}

void kept_cache_put(struct kept_cache *cache, struct str key, struct str value)
{
    bool was_dirty = cache_file_is_dirty(cache->file);

    cache_file_put(cache->file, key, value);
    if (!was_dirty && cache_file_is_dirty(cache->file))
        timer_set(cache->loop, &cache->write, loop_now_ms(cache->loop) + WRITE_MS, write_expired);
}

void kept_cache_sweep(struct kept_cache *cache,
                      bool (*is_old)(void *argument, struct str key, struct str value),
                      void *argument)
{
    struct cache_file_sweep sweep = { .is_old = is_old, .argument = argument };
    struct error error;

    if (!cache_file_sweep(cache->file, &sweep, &error))
        log_warning(&cache->log, "%s", error.message);
    else
        log_info(&cache->log, "cache %.*s full cleanup: retained=%zu dropped=%zu entries",
                 STR_ARGS(cache->map), sweep.kept, sweep.removed);
}

void kept_cache_close(struct kept_cache *cache)
{
    struct error error;

    if (cache->file == NULL)
        return;
    timer_clear(cache->loop, &cache->write);
    if (!cache_file_write(cache->file, &error))
        log_warning(&cache->log, "%s", error.message);
    cache_file_free(&cache->file);
}
