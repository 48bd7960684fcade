/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network address: IPv4, IPv6 (an IPv4-mapped one becomes IPv4 as soon as it enters) or a Unix
 * socket. Pure values, no look-ups.
 */
#pragma once

#include "base/buf.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct net_address {
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un local;
    };
    socklen_t len;
};

/* From the kernel; unmaps ::ffff:a.b.c.d. */
void net_address_from_sockaddr(const struct sockaddr *sockaddr, socklen_t len,
                               struct net_address *address);
/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]", "[192.0.2.1]", "IPv6:2001:db8::1"; port in host
 * order. */
bool net_address_parse(struct str text, uint16_t port, struct net_address *address);
/* The bare address without port, as Postfix logs it: "192.0.2.1", "2001:db8::1"; "unknown" for
 * others. */
void net_address_format(const struct net_address *address, struct buf *out);
uint16_t net_address_port(const struct net_address *address);
/* The raw address bytes: 4, 16 or (other families) 0 long. */
struct str net_address_bytes(const struct net_address *address);
/* Whether only this machine can reach it: 127.0.0.0/8 or ::1. */
bool net_address_is_loopback(const struct net_address *address);
