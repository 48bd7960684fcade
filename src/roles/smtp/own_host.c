/* SPDX-License-Identifier: Apache-2.0 */
#include "own_host.h"

#include <ifaddrs.h>

enum { OWN_ADDRESSES_MAX = 256 };

static void add_address(struct own_host *own, const struct net_address *address)
{
    if (own->address_count < OWN_ADDRESSES_MAX && !own_host_has_address(own, address))
        own->addresses[own->address_count++] = *address;
}

static bool add_interfaces(struct own_host *own, struct error *error)
{
    struct ifaddrs *interfaces;

    if (getifaddrs(&interfaces) != 0)
        return error_errno(error, "list the network interfaces");
    for (const struct ifaddrs *one = interfaces; one != NULL; one = one->ifa_next) {
        struct net_address address;
        if (one->ifa_addr == NULL)
            continue;
        if (one->ifa_addr->sa_family == AF_INET)
            net_address_from_sockaddr(one->ifa_addr, sizeof(struct sockaddr_in), &address);
        else if (one->ifa_addr->sa_family == AF_INET6)
            net_address_from_sockaddr(one->ifa_addr, sizeof(struct sockaddr_in6), &address);
        else
            continue;
        add_address(own, &address);
    }
    freeifaddrs(interfaces);
    return true;
}

static bool add_entry(struct own_host *own, struct str entry, struct error *error)
{
    struct net_address address;

    if (str_equal_fold(entry, STR("all"))) {
        own->has_every_interface = true;
        return add_interfaces(own, error);
    }
    if (str_equal_fold(entry, STR("loopback-only")) || str_equal_fold(entry, STR("localhost"))) {
        if (net_address_parse(STR("127.0.0.1"), 0, &address))
            add_address(own, &address);
        if (net_address_parse(STR("::1"), 0, &address))
            add_address(own, &address);
        return true;
    }
    if (net_address_parse(entry, 0, &address))
        add_address(own, &address);
    return true;
}

bool own_host_init(struct arena *arena, struct str my_host_name, struct str inet_interfaces,
                   struct str proxy_interfaces, struct own_host *own, struct error *error)
{
    struct str lists[] = { inet_interfaces, proxy_interfaces };
    struct str entry;

    *own = (struct own_host){ .name = arena_copy(arena, my_host_name) };
    own->addresses = arena_new_array(arena, OWN_ADDRESSES_MAX, sizeof(struct net_address));
    for (size_t i = 0; i < 2; i++) {
        while (str_next_word(&lists[i], ", \t\r\n", &entry)) {
            if (!add_entry(own, entry, error))
                return false;
        }
        if (i == 0)
            own->interface_count = own->address_count;
    }
    return true;
}

bool own_host_has_address(const struct own_host *own, const struct net_address *address)
{
    struct str bytes = net_address_bytes(address);

    for (size_t i = 0; i < own->address_count; i++) {
        if (str_equal(net_address_bytes(&own->addresses[i]), bytes))
            return true;
    }
    return false;
}

bool own_host_has_name(const struct own_host *own, struct str name)
{
    return own->name.len > 0 && str_equal_fold(own->name, name);
}

const struct net_address *own_host_single_address(const struct own_host *own, int family)
{
    const struct net_address *found = NULL;

    if (own->has_every_interface)
        return NULL;
    for (size_t i = 0; i < own->interface_count; i++) {
        const struct net_address *address = &own->addresses[i];
        if (address->any.sa_family != family || net_address_is_loopback(address))
            continue;
        if (found != NULL)
            return NULL;
        found = address;
    }
    return found;
}
