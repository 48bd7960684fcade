/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include "base/file.h"
#include "base/memory.h"
#include "service/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 1024, ADDRESSES_MAX = 256 };

struct wanted {
    const struct config *config;
    struct sockets *older, *sockets;
    uint32_t service_line;
    const char *role;
};

static bool same_address(const struct net_address *a, const struct net_address *b)
{
    return a->len == b->len && memcmp(&a->any, &b->any, a->len) == 0;
}

static const char *address_text(struct arena *scratch, const struct net_address *address)
{
    struct buf text = { 0 };

    if (address->any.sa_family == AF_UNIX)
        return arena_printf(scratch, "%s", address->local.sun_path);
    net_address_format(address, &text);
    const char *result =
        arena_printf(scratch, "%s port %u", buf_text(&text), (unsigned)net_address_port(address));
    buf_free(&text);
    return result;
}

/* A Unix socket that is left from a master that died is in the way of bind. */
static bool bind_and_listen(int fd, const struct net_address *address, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    const char *name = address_text(&scratch, address);
    bool is_local = address->any.sa_family == AF_UNIX;

    if (is_local && unlink(address->local.sun_path) < 0 && errno != ENOENT)
        return error_errno(error, "remove %s", name);
    if (bind(fd, &address->any, address->len) < 0)
        return error_errno(error, "bind %s", name);
    if (is_local && chmod(address->local.sun_path, 0666) < 0)
        return error_errno(error, "give %s its mode", name);
    if (listen(fd, LISTEN_BACKLOG) < 0)
        return error_errno(error, "listen on %s", name);
    return true;
}

static int open_socket(const struct net_address *address, struct error *error)
{
    int on = 1;
    autoclose int fd =
        socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        error_errno(error, "create a socket");
        return -1;
    }
    if (address->any.sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (!bind_and_listen(fd, address, error))
        return -1;
    return fd_take(&fd);
}

/* The same address in the older set: its descriptor is used by both until one set is dropped. */
static int find_older(const struct sockets *older, const struct net_address *address)
{
    for (size_t i = 0; older != NULL && i < older->count; i++)
        if (same_address(&older->entries[i].address, address))
            return older->entries[i].fd;
    return -1;
}

static bool add(const struct wanted *wanted, const struct net_address *address, struct error *error)
{
    struct sockets *sockets = wanted->sockets;

    for (size_t i = 0; i < sockets->count; i++)
        if (same_address(&sockets->entries[i].address, address))
            return true;
    int shared = find_older(wanted->older, address);
    int fd = shared >= 0 ? fcntl(shared, F_DUPFD_CLOEXEC, 3) : open_socket(address, error);
    if (fd < 0)
        return shared < 0 ? false : error_errno(error, "keep a listening socket");
    sockets->entries =
        memory_resize(sockets->entries, (sockets->count + 1) * sizeof *sockets->entries);
    sockets->entries[sockets->count++] = (struct listening){
        .address = *address, .fd = fd, .service_line = wanted->service_line, .role = wanted->role
    };
    return true;
}

static bool is_protocol_wanted(const struct config *config, int family)
{
    struct str rest = config->inet_protocols, word;
    struct str wanted = family == AF_INET ? STR("ipv4") : STR("ipv6");

    while (str_next_word(&rest, ", \t\r\n", &word))
        if (str_equal_fold(word, STR("all")) || str_equal_fold(word, wanted))
            return true;
    return false;
}

/* Where the system has no IPv6 at all, "all" means what there is. */
static bool is_family_there(int family)
{
    autoclose int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd >= 0;
}

/* Every address that a name, or the literal, stands for; `*count` of those that were wanted. */
static bool add_host(const struct wanted *wanted, struct str host, uint16_t port, size_t *count,
                     struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    struct net_address address;

    if (net_address_parse(host, port, &address)) {
        *count += 1;
        return add(wanted, &address, error);
    }
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int status = getaddrinfo(arena_text(&scratch, host), NULL, &hints, &found);
    if (status != 0)
        return error_set(error, "inet_interfaces: cannot find the address of \"%.*s\": %s",
                         STR_ARGS(host), gai_strerror(status));
    bool is_added = true;
    for (const struct addrinfo *each = found; is_added && each != NULL; each = each->ai_next) {
        net_address_from_sockaddr(each->ai_addr, each->ai_addrlen, &address);
        if (!is_protocol_wanted(wanted->config, address.any.sa_family))
            continue;
        address.in4.sin_port = htons(port); /* the same place in sockaddr_in6 */
        is_added = add(wanted, &address, error);
        *count += 1;
    }
    freeaddrinfo(found);
    return is_added;
}

/* "all" and "loopback-only" mean what there is: IPv6 may be known and switched off. */
static bool add_any(const struct wanted *wanted, struct str ipv4, struct str ipv6, uint16_t port,
                    size_t *count, struct error *error)
{
    if (is_protocol_wanted(wanted->config, AF_INET) && !add_host(wanted, ipv4, port, count, error))
        return false;
    if (!is_protocol_wanted(wanted->config, AF_INET6) || !is_family_there(AF_INET6))
        return true;
    return add_host(wanted, ipv6, port, count, error) || error->system_errno == EADDRNOTAVAIL;
}

static bool add_interfaces(const struct wanted *wanted, uint16_t port, size_t *count,
                           struct error *error)
{
    struct str rest = wanted->config->inet_interfaces, word;

    while (str_next_word(&rest, ", \t\r\n", &word)) {
        bool is_added;
        if (str_equal_fold(word, STR("all")))
            is_added = add_any(wanted, STR("0.0.0.0"), STR("::"), port, count, error);
        else if (str_equal_fold(word, STR("loopback-only")))
            is_added = add_any(wanted, STR("127.0.0.1"), STR("::1"), port, count, error);
        else
            is_added = add_host(wanted, word, port, count, error);
        if (!is_added)
            return false;
    }
    return true;
}

static bool find_port(struct str name, uint16_t *port, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    uint64_t number;

    if (str_to_u64(name, &number) && number > 0 && number < 65536) {
        *port = (uint16_t)number;
        return true;
    }
    const struct servent *service = getservbyname(arena_text(&scratch, name), "tcp");
    if (service == NULL)
        return error_set(error, "unknown service: %.*s/tcp", STR_ARGS(name));
    *port = ntohs((uint16_t)service->s_port);
    return true;
}

/* "smtp", "2525", "host:port", "[address]:port", see master(5). */
static bool add_service(const struct wanted *wanted, const struct master_service *line,
                        struct error *error)
{
    ptrdiff_t colon = str_find_last_byte(line->name, ':');
    struct str host = colon > 0 ? str_take(line->name, (size_t)colon) : STR("");
    struct str port_name = str_skip(line->name, (size_t)(colon + 1));
    uint16_t port;
    size_t count = 0;

    if (!find_port(port_name, &port, error))
        return error_context(error, "%s, line %d", line->file, line->line);
    if (host.len > 0 ? !add_host(wanted, host, port, &count, error)
                     : !add_interfaces(wanted, port, &count, error))
        return error_context(error, "%s, line %d", line->file, line->line);
    if (count == 0)
        return error_set(error,
                         "parameter inet_interfaces: no valid IP address found for the service "
                         "\"%.*s\" (%s, line %d); give inet_interfaces an address, \"all\" or "
                         "\"loopback-only\"",
                         STR_ARGS(line->name), line->file, line->line);
    return true;
}

/* The commands talk to the queue through this one. */
static bool add_queue_socket(const struct wanted *wanted, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    const char *path = spool_path(&scratch, wanted->config, "public/queue");
    struct net_address address = { .local = { .sun_family = AF_UNIX } };

    if (strlen(path) >= sizeof address.local.sun_path)
        return error_set(error, "queue_directory: %s is too long a name for a socket", path);
    snprintf(address.local.sun_path, sizeof address.local.sun_path, "%s", path);
    address.len = sizeof address.local;
    return add(wanted, &address, error);
}

bool sockets_open(const struct config_source *source, const struct config *config,
                  struct sockets *older, struct sockets *sockets, struct error *error)
{
    struct wanted wanted = {
        .config = config, .older = older, .sockets = sockets, .role = "queue"
    };

    *sockets = (struct sockets){ 0 };
    bool is_opened = add_queue_socket(&wanted, error);
    wanted.role = "smtpd";
    for (size_t i = 0; is_opened && i < source->master_cf.count; i++) {
        const struct master_service *line = &source->master_cf.services[i];
        if (line->type != SERVICE_INET || !str_equal(line->command, STR("smtpd")))
            continue;
        wanted.service_line = (uint32_t)i;
        is_opened = add_service(&wanted, line, error);
    }
    if (!is_opened)
        sockets_close(sockets);
    return is_opened;
}

void sockets_close(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        fd_close(&sockets->entries[i].fd);
    memory_free(sockets->entries);
    *sockets = (struct sockets){ 0 };
}
