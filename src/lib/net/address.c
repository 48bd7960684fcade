/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include <arpa/inet.h>
#include <stdio.h>

/* ::ffff:a.b.c.d is the same host as a.b.c.d: from here on there is one form. */
static void unmap(struct net_address *address)
{
    static const unsigned char prefix[12] = { [10] = 0xff, [11] = 0xff };
    struct sockaddr_in6 mapped = address->in6;

    if (address->any.sa_family != AF_INET6 || memcmp(&mapped.sin6_addr, prefix, sizeof prefix) != 0)
        return;
    address->in6 = (struct sockaddr_in6){ 0 };
    address->in4.sin_family = AF_INET;
    address->in4.sin_port = mapped.sin6_port;
    memcpy(&address->in4.sin_addr, mapped.sin6_addr.s6_addr + sizeof prefix, 4);
    address->len = sizeof address->in4;
}

void net_address_from_sockaddr(const struct sockaddr *sockaddr, socklen_t len,
                               struct net_address *address)
{
    *address = (struct net_address){ 0 };
    if (len > sizeof address->local)
        len = sizeof address->local;
    memcpy(&address->any, sockaddr, len);
    address->len = len;
    unmap(address);
}

/* Without brackets and without RFC 5321's tag. */
static struct str bare(struct str text, bool *has_tag)
{
    if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = str_of(text.ptr + 1, text.len - 2);
    *has_tag = str_starts_with_fold(text, STR("IPv6:"));
    return *has_tag ? str_skip(text, 5) : text;
}

bool net_address_parse(struct str text, uint16_t port, struct net_address *address)
{
    char terminated[INET6_ADDRSTRLEN];
    bool has_tag;

    text = bare(text, &has_tag);
    *address = (struct net_address){ 0 };
    if (text.len == 0 || text.len >= sizeof terminated || str_find_byte(text, '\0') >= 0)
        return false;
    memcpy(terminated, text.ptr, text.len);
    terminated[text.len] = '\0';
    if (!has_tag && inet_pton(AF_INET, terminated, &address->in4.sin_addr) == 1) {
        address->in4.sin_family = AF_INET;
        address->in4.sin_port = htons(port);
        address->len = sizeof address->in4;
        return true;
    }
    if (inet_pton(AF_INET6, terminated, &address->in6.sin6_addr) != 1)
        return false;
    address->in6.sin6_family = AF_INET6;
    address->in6.sin6_port = htons(port);
    address->len = sizeof address->in6;
    unmap(address);
    return true;
}

void net_address_format(const struct net_address *address, struct buf *out)
{
    char text[INET6_ADDRSTRLEN] = "unknown";

    if (address->any.sa_family == AF_INET)
        inet_ntop(AF_INET, &address->in4.sin_addr, text, sizeof text);
    else if (address->any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &address->in6.sin6_addr, text, sizeof text);
    buf_append_text(out, text);
}

uint16_t net_address_port(const struct net_address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohs(address->in4.sin_port);
    if (address->any.sa_family == AF_INET6)
        return ntohs(address->in6.sin6_port);
    return 0;
}

struct str net_address_bytes(const struct net_address *address)
{
    if (address->any.sa_family == AF_INET)
        return str_of((const char *)&address->in4.sin_addr, sizeof address->in4.sin_addr);
    if (address->any.sa_family == AF_INET6)
        return str_of((const char *)&address->in6.sin6_addr, sizeof address->in6.sin6_addr);
    return STR("");
}

bool net_address_is_loopback(const struct net_address *address)
{
    if (address->any.sa_family == AF_INET)
        return (ntohl(address->in4.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
}
