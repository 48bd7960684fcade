/* SPDX-License-Identifier: Apache-2.0 */
#include "table_dial.h"

#include "table/table.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>

enum { ADDRESSES_MAX = 4 };

struct server {
    struct loop *loop;
    size_t count;
    struct {
        struct sockaddr_storage address;
        socklen_t len;
    } entries[ADDRESSES_MAX];
};

struct dialler {
    struct loop *loop;
    struct arena arena;
    struct str queue_directory;
    void (*work)(void *argument);
    void *argument;
};

static bool add(struct server *server, const void *address, size_t len)
{
    memcpy(&server->entries[server->count].address, address, len);
    server->entries[server->count++].len = (socklen_t)len;
    return true;
}

static bool name_path(struct dialler *dialler, struct server *server, struct str path,
                      struct error *error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    bool is_relative = path.len > 0 && path.ptr[0] != '/';
    int len = snprintf(address.sun_path, sizeof address.sun_path, "%.*s%s%.*s",
                       is_relative ? (int)dialler->queue_directory.len : 0,
                       dialler->queue_directory.ptr, is_relative ? "/" : "", STR_ARGS(path));

    if (len < 0 || (size_t)len >= sizeof address.sun_path)
        return error_set(error, "%.*s: the path is too long for a socket", STR_ARGS(path));
    return add(server, &address, sizeof address);
}

static bool name_host(struct dialler *dialler, struct server *server, struct str text,
                      struct error *error)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    ptrdiff_t colon = str_find_last_byte(text, ':');

    if (colon < 1 || (size_t)colon + 1 == text.len)
        return error_set(error, "%.*s: a server is written host:port", STR_ARGS(text));
    struct str host = str_take(text, (size_t)colon);
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_of(host.ptr + 1, host.len - 2);
    int code =
        getaddrinfo(arena_text(&dialler->arena, host),
                    arena_text(&dialler->arena, str_skip(text, (size_t)colon + 1)), &hints, &found);
    if (code != 0)
        return error_set(error, "%.*s: %s", STR_ARGS(text), gai_strerror(code));
    for (const struct addrinfo *each = found; each != NULL && server->count < ADDRESSES_MAX;
         each = each->ai_next)
        add(server, each->ai_addr, each->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

static void *name_server(void *argument, struct str text, struct error *error)
{
    struct dialler *dialler = argument;
    struct server *server = arena_new(&dialler->arena, sizeof *server);
    struct str rest = text, kind = str_cut(&rest, ":");

    server->loop = dialler->loop;
    bool is_named = str_equal(kind, STR("unix")) ? name_path(dialler, server, rest, error)
                                                 : name_host(dialler, server, rest, error);
    return is_named ? server : NULL;
}

static enum stream_outcome connect_server(void *argument, int64_t deadline_ms,
                                          struct stream **stream, struct error *error)
{
    const struct server *server = argument;
    enum stream_outcome outcome = STREAM_FAILED;

    for (size_t i = 0; i < server->count && outcome == STREAM_FAILED; i++)
        outcome = stream_connect(server->loop, (const struct sockaddr *)&server->entries[i].address,
                                 server->entries[i].len, NULL, deadline_ms, stream, error);
    return outcome;
}

static void work(void *argument)
{
    struct dialler *dialler = argument;

    dialler->work(dialler->argument);
    loop_stop(dialler->loop);
}

bool table_dial_run(const struct config *config, void (*function)(void *argument), void *argument,
                    struct error *error)
{
    struct dialler dialler = { .loop = loop_new(error), .work = function, .argument = argument };

    if (dialler.loop == NULL)
        return false;
    if (config != NULL)
        dialler.queue_directory = config->queue_directory;
    table_set_surroundings(&(struct table_surroundings){
        .loop = dialler.loop,
        .server_name = name_server,
        .server_connect = connect_server,
        .argument = &dialler,
    });
    fiber_start(dialler.loop, "tables", work, &dialler);
    loop_run(dialler.loop);
    table_set_surroundings(&(struct table_surroundings){ .loop = NULL });
    arena_clear(&dialler.arena);
    loop_free(&dialler.loop);
    return true;
}
