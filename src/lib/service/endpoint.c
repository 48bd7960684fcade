/* SPDX-License-Identifier: Apache-2.0 */
#include "service/endpoint.h"

#include "wire/connector.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>

enum { ADDRESSES_MAX = 4 };

struct endpoint {
    struct connector *connector;
    struct str text;
    size_t count;
    uint32_t numbers[ADDRESSES_MAX];
};

static bool add_address(struct endpoint *endpoint, const struct sockaddr *address, socklen_t len,
                        struct error *error)
{
    if (!connector_name(endpoint->connector, address, len, &endpoint->numbers[endpoint->count]))
        return error_set(error, "%.*s: more than %d servers are named", STR_ARGS(endpoint->text),
                         CONNECTOR_NAMES_MAX);
    endpoint->count++;
    return true;
}

static bool name_path(struct service *service, struct endpoint *endpoint, struct str path,
                      struct error *error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    bool is_absolute = path.len > 0 && path.ptr[0] == '/';
    int len =
        snprintf(address.sun_path, sizeof address.sun_path, "%.*s%s%.*s",
                 is_absolute ? 0 : (int)service->config->queue_directory.len,
                 service->config->queue_directory.ptr, is_absolute ? "" : "/", STR_ARGS(path));

    if (path.len == 0 || len < 0 || (size_t)len >= sizeof address.sun_path)
        return error_set(error, "%.*s: no path of a socket, or one that is too long",
                         STR_ARGS(endpoint->text));
    return add_address(endpoint, (const struct sockaddr *)&address, (socklen_t)sizeof address,
                       error);
}

static bool name_host(struct endpoint *endpoint, struct str text, struct error *error)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    autoclear_arena struct arena scratch = { 0 };
    ptrdiff_t colon = str_find_last_byte(text, ':');

    if (colon < 1 || (size_t)colon + 1 == text.len)
        return error_set(error, "%.*s: a server is written host:port", STR_ARGS(endpoint->text));
    struct str host = str_of(text.ptr, (size_t)colon);
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_of(host.ptr + 1, host.len - 2);
    int code = getaddrinfo(
        arena_printf(&scratch, "%.*s", STR_ARGS(host)),
        arena_printf(&scratch, "%.*s", (int)(text.len - (size_t)colon - 1), text.ptr + colon + 1),
        &hints, &found);
    if (code != 0)
        return error_set(error, "%.*s: %s", STR_ARGS(endpoint->text), gai_strerror(code));
    bool is_named = true;
    for (const struct addrinfo *each = found;
         each != NULL && endpoint->count < ADDRESSES_MAX && is_named; each = each->ai_next)
        is_named = add_address(endpoint, each->ai_addr, each->ai_addrlen, error);
    freeaddrinfo(found);
    return is_named;
}

static bool strip_prefix(struct str *text, struct str prefix)
{
    if (!str_starts_with(*text, prefix))
        return false;
    *text = str_skip(*text, prefix.len);
    return true;
}

struct endpoint *endpoint_new(struct service *service, struct str text, struct error *error)
{
    struct endpoint *endpoint = arena_new(&service->arena, sizeof *endpoint);
    struct str rest = text;

    *endpoint = (struct endpoint){ .connector = service->connector,
                                   .text = arena_copy(&service->arena, text) };
    bool is_inet = strip_prefix(&rest, STR("inet:"));
    bool is_path = !is_inet && (strip_prefix(&rest, STR("unix:")) ||
                                str_find_byte(rest, '/') >= 0 || str_find_byte(rest, ':') < 0);
    bool is_named =
        is_path ? name_path(service, endpoint, rest, error) : name_host(endpoint, rest, error);
    return is_named ? endpoint : NULL;
}

enum stream_outcome endpoint_connect(struct endpoint *endpoint, int64_t deadline_ms,
                                     struct stream **stream, struct error *error)
{
    enum stream_outcome outcome = STREAM_FAILED;

    for (size_t i = 0; i < endpoint->count && outcome == STREAM_FAILED; i++)
        outcome = connector_connect(endpoint->connector, endpoint->numbers[i], deadline_ms, stream,
                                    error);
    return outcome;
}

struct str endpoint_text(const struct endpoint *endpoint)
{
    return endpoint->text;
}
