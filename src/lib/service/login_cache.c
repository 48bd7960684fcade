/* SPDX-License-Identifier: Apache-2.0 */
#include "service/login_cache.h"

#include "base/memory.h"
#include "table/table.h"
#include "wire/asker.h"
#include "wire/wire.h"

bool login_cache_map(const struct config *config, struct str *map, struct error *error)
{
    struct str name = str_trim(config->smtp_sasl_auth_cache_name);

    *map = STR("");
    if (!config->smtp_sasl_auth_enable || name.len == 0)
        return true;
    if (!str_starts_with(name, STR("proxy:")))
        return error_set(error,
                         "SASL authentication cache name \"%.*s\" must start with \"proxy:\"",
                         STR_ARGS(name));
    name = str_skip(name, 6);
    if (!table_is_proxied(config->proxy_write_maps, name))
        return error_set(error,
                         "proxywrite service is not configured for table \"%.*s\": add "
                         "\"proxy:%.*s\" to proxy_write_maps",
                         STR_ARGS(name), STR_ARGS(name));
    *map = name;
    return true;
}

struct login_cache {
    struct asker asker;
};

struct login_question {
    struct question question;
    struct str map, key;
    struct arena *arena;
    struct login_cache_entry entry;
};

static void send_question(struct channel *channel, struct question *question)
{
    const struct login_question *asked = list_entry(question, struct login_question, question);

    wire_send_login_find(
        channel,
        &(struct wire_login_find){ .query = question->id, .map = asked->map, .key = asked->key });
}

static bool answer_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct wire_login_found message;

    if (number != WIRE_login_found || !wire_decode_login_found(channel, payload, &message) ||
        message.value.len > LOGIN_CACHE_VALUE_BYTES_MAX)
        return false;
    struct question *found = asker_find(owner, message.query);
    if (found == NULL)
        return true;
    struct login_question *asked = list_entry(found, struct login_question, question);
    asked->entry = (struct login_cache_entry){ .value = arena_copy(asked->arena, message.value),
                                               .stored_s = message.stored_s };
    asker_answered(found);
    return true;
}

struct login_cache *login_cache_new(struct loop *loop)
{
    struct login_cache *cache = memory_new(sizeof *cache);

    asker_init(&cache->asker, &(struct asker_options){ .loop = loop,
                                                       .peer = "proxywrite",
                                                       .received = answer_received,
                                                       .send = send_question });
    return cache;
}

void login_cache_free(struct login_cache **cache)
{
    if (*cache == NULL)
        return;
    asker_clear(&(*cache)->asker);
    memory_free(*cache);
    *cache = NULL;
}

bool login_cache_attach(struct login_cache *cache, int fd, struct error *error)
{
    return asker_attach(&cache->asker, fd, error);
}

bool login_cache_find(struct login_cache *cache, struct str map, struct str key,
                      int64_t deadline_ms, struct arena *arena, struct login_cache_entry *entry)
{
    struct login_question asked = { .map = map, .key = key, .arena = arena };

    if (key.len > LOGIN_CACHE_KEY_BYTES_MAX ||
        !asker_ask(&cache->asker, &asked.question, "proxywrite's answer", deadline_ms))
        return false;
    *entry = asked.entry;
    return entry->value.len > 0;
}

void login_cache_put(struct login_cache *cache, struct str map, struct str key, struct str value)
{
    struct channel *channel = asker_channel(&cache->asker);

    if (channel != NULL && key.len <= LOGIN_CACHE_KEY_BYTES_MAX &&
        value.len <= LOGIN_CACHE_VALUE_BYTES_MAX)
        wire_send_login_put(channel,
                            &(struct wire_login_put){ .map = map, .key = key, .value = value });
}
