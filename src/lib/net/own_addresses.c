/* SPDX-License-Identifier: Apache-2.0 */
#include "net/own_addresses.h"

#include "base/memory.h"

#include <ifaddrs.h>
#include <netdb.h>

struct own_addresses {
    struct net_address *items;
    size_t count;
};

static void add(struct own_addresses *addresses, const struct sockaddr *sockaddr, socklen_t len)
{
    struct net_address address;

    net_address_from_sockaddr(sockaddr, len, &address);
    if (own_addresses_contain(addresses, &address))
        return;
    addresses->items =
        memory_resize(addresses->items, (addresses->count + 1) * sizeof(*addresses->items));
    addresses->items[addresses->count++] = address;
}

static void add_address(struct own_addresses *addresses, const struct net_address *address)
{
    add(addresses, &address->any, address->len);
}

static bool add_all(struct own_addresses *addresses, struct error *error)
{
    struct ifaddrs *first;

    if (getifaddrs(&first) != 0)
        return error_errno(error, "list the network interfaces");
    for (const struct ifaddrs *entry = first; entry != NULL; entry = entry->ifa_next) {
        if (entry->ifa_addr == NULL)
            continue;
        if (entry->ifa_addr->sa_family == AF_INET)
            add(addresses, entry->ifa_addr, sizeof(struct sockaddr_in));
        else if (entry->ifa_addr->sa_family == AF_INET6)
            add(addresses, entry->ifa_addr, sizeof(struct sockaddr_in6));
    }
    freeifaddrs(first);
    return true;
}

static bool add_host(struct own_addresses *addresses, struct str name, struct error *error)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    autofree_buf struct buf text = { 0 };

    buf_append(&text, name);
    int status = getaddrinfo(buf_text(&text), NULL, &hints, &found);
    if (status != 0)
        return error_set(error,
                         "host not found: %s: %s; name an address or a host that /etc/hosts "
                         "knows",
                         buf_text(&text), gai_strerror(status));
    for (const struct addrinfo *entry = found; entry != NULL; entry = entry->ai_next)
        add(addresses, entry->ai_addr, entry->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

static bool add_word(struct own_addresses *addresses, struct str word, struct error *error)
{
    struct net_address address;

    if (str_equal_fold(word, STR("all")))
        return add_all(addresses, error);
    if (str_equal_fold(word, STR("loopback-only"))) {
        if (net_address_parse(STR("127.0.0.1"), 0, &address))
            add_address(addresses, &address);
        if (net_address_parse(STR("::1"), 0, &address))
            add_address(addresses, &address);
        return true;
    }
    if (net_address_parse(word, 0, &address)) {
        add_address(addresses, &address);
        return true;
    }
    return add_host(addresses, word, error);
}

static bool add_list(struct own_addresses *addresses, struct str list, struct error *error)
{
    struct str word;

    while (str_next_word(&list, ", \t\r\n", &word)) {
        if (!add_word(addresses, word, error))
            return false;
    }
    return true;
}

struct own_addresses *own_addresses_new(struct str inet_interfaces, struct str proxy_interfaces,
                                        struct error *error)
{
    struct own_addresses *addresses = memory_new(sizeof(*addresses));

    if (!add_list(addresses, inet_interfaces, error)) {
        (void)error_context(error, "inet_interfaces");
        own_addresses_free(&addresses);
    } else if (!add_list(addresses, proxy_interfaces, error)) {
        (void)error_context(error, "proxy_interfaces");
        own_addresses_free(&addresses);
    }
    return addresses;
}

void own_addresses_free(struct own_addresses **addresses)
{
    if (*addresses == NULL)
        return;
    memory_free((*addresses)->items);
    memory_free(*addresses);
    *addresses = NULL;
}

bool own_addresses_contain(const struct own_addresses *addresses, const struct net_address *address)
{
    struct str bytes = net_address_bytes(address);

    for (size_t i = 0; bytes.len > 0 && i < addresses->count; i++) {
        if (str_equal(net_address_bytes(&addresses->items[i]), bytes))
            return true;
    }
    return false;
}

bool own_addresses_contain_text(const struct own_addresses *addresses, struct str address)
{
    struct net_address parsed;

    return net_address_parse(address, 0, &parsed) && own_addresses_contain(addresses, &parsed);
}
