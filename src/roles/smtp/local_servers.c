/* SPDX-License-Identifier: Apache-2.0 */
#include "local_servers.h"

#include "base/map.h"
#include "base/memory.h"
#include "table/table_walk.h"

enum { SERVERS_MAX = 48 };

struct local_servers {
    struct service *service;
    struct map *by_path; /* struct endpoint */
};

struct endpoint *local_servers_find(const struct local_servers *servers, struct str path)
{
    return map_find(servers->by_path, path);
}

static void name_path(struct local_servers *servers, struct str path)
{
    struct service *service = servers->service;
    struct error error;

    if (path.len == 0 || map_find(servers->by_path, path) != NULL)
        return;
    if (map_count(servers->by_path) >= SERVERS_MAX) {
        log_warning(&service->log_context, "more than %d local LMTP servers; %.*s is left out",
                    SERVERS_MAX, STR_ARGS(path));
        return;
    }
    struct str text = str_from(arena_printf(&service->arena, "unix:%.*s", STR_ARGS(path)));
    struct endpoint *endpoint = endpoint_new(service, text, &error);
    if (endpoint == NULL)
        log_warning(&service->log_context, "%s", error.message);
    else
        map_set(servers->by_path, str_skip(text, 5), endpoint);
}

void local_servers_name(struct local_servers *servers, struct str text)
{
    struct str word;

    while (str_next_word(&text, ", \t\r\n{}", &word)) {
        ptrdiff_t at = str_find(word, STR("unix:"));
        if (at == 0 || (at > 0 && (word.ptr[at - 1] == ':' || word.ptr[at - 1] == '=')))
            name_path(servers, str_skip(word, (size_t)at + 5));
    }
}

static void name_heard(void *argument, struct str text)
{
    local_servers_name(argument, text);
}

struct local_servers *local_servers_new(struct service *service)
{
    const struct config *config = service->config;
    struct local_servers *servers = memory_new(sizeof *servers);
    const struct str texts[] = {
        config->default_transport, config->local_transport,     config->relay_transport,
        config->virtual_transport, config->mailbox_transport,   config->fallback_transport,
        config->content_filter,    config->lmtp_fallback_relay,
    };
    const struct str tables[] = {
        config->transport_maps,
        config->sender_dependent_default_transport_maps,
        config->mailbox_transport_maps,
        config->fallback_transport_maps,
    };

    servers->service = service;
    servers->by_path = map_new();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        local_servers_name(servers, texts[i]);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        table_walk(tables[i], name_heard, servers);
    return servers;
}

void local_servers_free(struct local_servers **servers)
{
    if (*servers == NULL)
        return;
    map_free(&(*servers)->by_path);
    memory_free(*servers);
    *servers = NULL;
}
