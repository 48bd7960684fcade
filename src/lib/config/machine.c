/* SPDX-License-Identifier: Apache-2.0 */
#include "config/machine.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <unistd.h>

static size_t address_len(const struct machine_address *address)
{
    return address->is_ipv6 ? 16 : 4;
}

static bool is_same_address(const struct machine_address *a, const struct machine_address *b)
{
    return a->is_ipv6 == b->is_ipv6 && memcmp(a->bytes, b->bytes, address_len(a)) == 0;
}

static int count_bits(const unsigned char *bytes, size_t len)
{
    int bits = 0;

    for (size_t i = 0; i < len; i++)
        bits += __builtin_popcount(bytes[i]);
    return bits;
}

static bool from_sockaddr(const struct sockaddr *socket_address, const struct sockaddr *mask,
                          struct machine_address *address)
{
    const void *bytes, *mask_bytes;

    if (socket_address == NULL || mask == NULL)
        return false;
    if (socket_address->sa_family == AF_INET) {
        bytes = &((const struct sockaddr_in *)(const void *)socket_address)->sin_addr;
        mask_bytes = &((const struct sockaddr_in *)(const void *)mask)->sin_addr;
    } else if (socket_address->sa_family == AF_INET6) {
        bytes = &((const struct sockaddr_in6 *)(const void *)socket_address)->sin6_addr;
        mask_bytes = &((const struct sockaddr_in6 *)(const void *)mask)->sin6_addr;
    } else {
        return false;
    }
    *address = (struct machine_address){ .is_ipv6 = socket_address->sa_family == AF_INET6 };
    memcpy(address->bytes, bytes, address_len(address));
    address->prefix_bits = count_bits(mask_bytes, address_len(address));
    return true;
}

static void read_addresses(struct arena *arena, struct machine *machine)
{
    struct ifaddrs *interfaces;
    size_t count = 0;

    if (getifaddrs(&interfaces) != 0)
        return;
    for (const struct ifaddrs *each = interfaces; each != NULL; each = each->ifa_next)
        count++;
    machine->addresses = arena_new_array(arena, count + 1, sizeof *machine->addresses);
    for (const struct ifaddrs *each = interfaces; each != NULL; each = each->ifa_next) {
        struct machine_address *address = &machine->addresses[machine->address_count];
        if (from_sockaddr(each->ifa_addr, each->ifa_netmask, address))
            machine->address_count++;
    }
    freeifaddrs(interfaces);
}

void machine_read(struct arena *arena, struct machine *machine)
{
    char name[HOST_NAME_MAX + 1] = "";

    bool has_name = gethostname(name, sizeof name - 1) == 0 && name[0] != '\0';
    *machine = (struct machine){
        .host_name = arena_copy(arena, str_from(has_name ? name : "localhost")),
    };
    read_addresses(arena, machine);
}

static void append_address(struct buf *out, const struct machine_address *address)
{
    char text[INET6_ADDRSTRLEN];

    inet_ntop(address->is_ipv6 ? AF_INET6 : AF_INET, address->bytes, text, sizeof text);
    buf_append_text(out, text);
}

void machine_save(const struct machine *machine, struct buf *out)
{
    buf_printf(out, "%.*s\n", STR_ARGS(machine->host_name));
    for (size_t i = 0; i < machine->address_count; i++) {
        append_address(out, &machine->addresses[i]);
        buf_printf(out, "/%d\n", machine->addresses[i].prefix_bits);
    }
}

static bool parse_address(struct str text, struct machine_address *address)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *address = (struct machine_address){ .is_ipv6 = strchr(copy, ':') != NULL };
    address->prefix_bits = address->is_ipv6 ? 128 : 32;
    return inet_pton(address->is_ipv6 ? AF_INET6 : AF_INET, copy, address->bytes) == 1;
}

bool machine_load(struct arena *arena, struct str text, struct machine *machine)
{
    *machine = (struct machine){ .host_name = arena_copy(arena, str_cut(&text, "\n")) };
    machine->addresses = arena_new_array(arena, text.len / 2 + 1, sizeof *machine->addresses);
    while (!str_is_empty(text)) {
        struct str bits = str_cut(&text, "\n"), ip = str_cut(&bits, "/");
        struct machine_address *address = &machine->addresses[machine->address_count];
        uint64_t number;
        if (!parse_address(ip, address) || !str_to_u64(bits, &number) ||
            number > 8 * address_len(address))
            return false;
        address->prefix_bits = (int)number;
        machine->address_count++;
    }
    return true;
}

static bool is_loopback(const struct machine_address *address)
{
    static const unsigned char ipv6_loopback[16] = { [15] = 1 };

    return address->is_ipv6 ? memcmp(address->bytes, ipv6_loopback, 16) == 0
                            : address->bytes[0] == 127;
}

static bool is_named(struct str list, const char *name)
{
    struct str word;

    while (str_next_word(&list, " \t\r\n,", &word)) {
        if (str_equal_fold(word, str_from(name)))
            return true;
    }
    return false;
}

/* Whether inet_interfaces covers the address, by "all", "loopback-only" or as a literal. */
static bool is_listened(const struct machine_address *address, struct str interfaces)
{
    struct machine_address literal;
    struct str word;

    if (is_named(interfaces, "all"))
        return true;
    if (is_loopback(address) &&
        (is_named(interfaces, "loopback-only") || is_named(interfaces, "localhost")))
        return true;
    while (str_next_word(&interfaces, " \t\r\n,", &word)) {
        if (str_starts_with(word, STR("[")) && str_ends_with(word, STR("]")))
            word = str_of(word.ptr + 1, word.len - 2);
        if (parse_address(word, &literal) && is_same_address(&literal, address))
            return true;
    }
    return false;
}

static int network_bits(const struct machine_address *address, struct str style)
{
    if (str_equal_fold(style, STR("host")))
        return address->is_ipv6 ? 128 : 32;
    if (str_equal_fold(style, STR("subnet")) || address->is_ipv6)
        return address->prefix_bits;
    return address->bytes[0] < 128   ? 8
           : address->bytes[0] < 192 ? 16
           : address->bytes[0] < 224 ? 24
                                     : 32;
}

static void mask_address(struct machine_address *address)
{
    for (int bit = address->prefix_bits; bit < (int)(8 * address_len(address)); bit++)
        address->bytes[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
}

static bool is_known(const struct machine_address *networks, size_t count,
                     const struct machine_address *network)
{
    for (size_t i = 0; i < count; i++) {
        if (networks[i].prefix_bits == network->prefix_bits &&
            is_same_address(&networks[i], network))
            return true;
    }
    return false;
}

static bool check_style(struct str style, struct error *error)
{
    return str_equal_fold(style, STR("host")) || str_equal_fold(style, STR("subnet")) ||
           str_equal_fold(style, STR("class")) ||
           error_set(error, "mynetworks_style = %.*s: it is host, subnet or class",
                     STR_ARGS(style));
}

bool machine_networks(const struct machine *machine, struct str style, struct str interfaces,
                      struct str protocols, struct buf *out, struct error *error)
{
    bool has_all = is_named(protocols, "all");
    bool has_ipv4 = has_all || is_named(protocols, "ipv4");
    bool has_ipv6 = has_all || is_named(protocols, "ipv6");
    autoclear_arena struct arena scratch = { 0 };
    struct machine_address *networks =
        arena_new_array(&scratch, machine->address_count + 1, sizeof *networks);
    size_t count = 0;

    if (!check_style(style, error))
        return false;
    for (size_t i = 0; i < 2 * machine->address_count; i++) {
        struct machine_address network = machine->addresses[i % machine->address_count];
        bool is_second_pass = i >= machine->address_count; /* IPv4 comes first */
        if (network.is_ipv6 != is_second_pass || (network.is_ipv6 ? !has_ipv6 : !has_ipv4) ||
            !is_listened(&network, interfaces))
            continue;
        network.prefix_bits = network_bits(&network, style);
        mask_address(&network);
        if (is_known(networks, count, &network))
            continue;
        networks[count++] = network;
        buf_append_text(out, out->len > 0 ? " " : "");
        buf_append_text(out, network.is_ipv6 ? "[" : "");
        append_address(out, &network);
        buf_printf(out, "%s/%d", network.is_ipv6 ? "]" : "", network.prefix_bits);
    }
    return true;
}
