/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of this machine that it does not have: nothing can listen on them, or leave from them.
 */
#include "check.h"

#include "net/address.h"

#include <ifaddrs.h>
#include <net/if.h>

/* Whether an interface has the address; where the kernel cannot be asked, all are there. */
static bool is_of_this_machine(const struct net_address *address)
{
    struct ifaddrs *all = NULL;
    bool is_found = false;

    if (getifaddrs(&all) != 0)
        return true;
    for (struct ifaddrs *each = all; each != NULL && !is_found; each = each->ifa_next) {
        struct net_address own;
        if (each->ifa_addr == NULL ||
            (each->ifa_addr->sa_family != AF_INET && each->ifa_addr->sa_family != AF_INET6))
            continue;
        net_address_from_sockaddr(each->ifa_addr,
                                  each->ifa_addr->sa_family == AF_INET
                                      ? sizeof(struct sockaddr_in)
                                      : sizeof(struct sockaddr_in6),
                                  &own);
        is_found = str_equal(net_address_bytes(&own), net_address_bytes(address));
    }
    freeifaddrs(all);
    /* 127.0.0.0/8 is all there, though the interface names one of it. */
    return is_found || (address->any.sa_family == AF_INET &&
                        (ntohl(address->in4.sin_addr.s_addr) >> 24) == 127);
}

static bool is_missing(struct str text)
{
    struct net_address address;

    return net_address_parse(text, 0, &address) && !is_of_this_machine(&address);
}

static void check_source_address(struct check *check, const struct check_setting *setting)
{
    if (str_is_empty(setting->value) || !is_missing(setting->value))
        return;
    check_find(check, CHECK_ERROR, "missing-address", setting->place,
               arena_printf(&check->arena,
                            "%.*s = %.*s: no interface of this machine has that address, so mail "
                            "cannot leave from it",
                            STR_ARGS(setting->name), STR_ARGS(setting->value)),
               "add the address to an interface, or name one of those that \"ip address\" lists");
}

static void check_interfaces(struct check *check, const struct check_setting *setting)
{
    struct str rest = setting->value, word;

    if (setting->is_set && str_is_empty(setting->value)) {
        check_find(check, CHECK_ERROR, "no-interface", setting->place,
                   "inet_interfaces is empty: there is no address to receive mail on, and an inet "
                   "service without an address of its own does not start",
                   "write \"inet_interfaces = loopback-only\", or \"all\", or addresses");
        return;
    }
    while (str_next_word(&rest, ", \t\r\n", &word))
        if (is_missing(word))
            check_find(
                check, CHECK_ERROR, "missing-address", setting->place,
                arena_printf(&check->arena,
                             "inet_interfaces names %.*s, which no interface of this machine "
                             "has",
                             STR_ARGS(word)),
                "add the address to an interface, or remove it here");
}

/* "192.0.2.1:25" in front of inet. */
static void check_listeners(struct check *check)
{
    const struct master_cf *master_cf = &check->source->master_cf;

    for (size_t i = 0; i < master_cf->count; i++) {
        const struct master_service *service = &master_cf->services[i];
        ptrdiff_t colon = str_find_last_byte(service->name, ':');
        if (service->type != SERVICE_INET || colon <= 0 ||
            !is_missing(str_take(service->name, (size_t)colon)))
            continue;
        check_find(check, CHECK_ERROR, "missing-address", check_place_of_service(service),
                   arena_printf(&check->arena,
                                "service %.*s listens on an address that no interface "
                                "of this machine has",
                                STR_ARGS(service->name)),
                   "add the address to an interface, or name another one");
    }
}

void check_addresses(struct check *check)
{
    static const char *const sources[] = { "smtp_bind_address", "smtp_bind_address6",
                                           "lmtp_bind_address", "lmtp_bind_address6" };

    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        check_each(check, sources[i], check_source_address);
    check_each(check, "inet_interfaces", check_interfaces);
    check_listeners(check);
}
