/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a destination to the addresses to try, in order: MX by preference, equal ones shuffled,
 * addresses of a host by smtp_address_preference; the A and AAAA records where there is no MX;
 * nothing that leads back to this relay. Asks the resolver, so the fiber is suspended.
 */
#pragma once

#include "failure.h"
#include "net/dns.h"
#include "nexthop.h"
#include "own_host.h"
#include "transport.h"

struct target {
    struct str host;
    struct str path;            /* of a Unix socket; empty: `address` counts */
    struct net_address address; /* with the port */
    uint16_t preference;
    /* Of the look-ups that led here; validated where smtp_dns_support_level is dnssec. */
    struct str asked; /* the name whose address this is; empty: none was asked for */
    struct str alias; /* what that is another name of (CNAME); empty: it is none */
    bool is_secure;   /* the address is vouched for by a signed zone */
    const struct exchanger_source *source; /* the MX record; NULL: there was none */
};

struct exchanger_source {
    struct str domain, alias; /* asked, and what it is another name of */
    bool is_secure;
};

struct target_list {
    struct target *items;
    size_t count;
};

struct target_search {
    struct arena *arena; /* the results live here */
    struct dns_client *dns;
    const struct search_domains *domains;
    const struct own_host *own;
    const struct transport *transport;
    struct loop *loop;
};

enum { TARGET_LOOKUP_MS = 20 * 1000, TARGET_HOSTS_MAX = 50 };

/* False with `*failure` where there is nothing to try. */
bool target_find(const struct target_search *search, const struct nexthop *nexthop,
                 struct target_list *targets, const struct failure **failure);
