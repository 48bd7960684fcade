/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a recipient's mail goes: its address class, and from that the transport (a service of
 * master.cf) and the next hop. Made once from the configuration and immutable; look-ups ask no
 * network, only the lists (mydestination, relay_domains, …) and the tables that they name.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "net/own_addresses.h"

/* The values as configured, expanded. Strings may be freed after router_new. */
struct route_settings {
    struct str myorigin;
    struct str mydestination;
    struct str virtual_alias_domains;
    struct str virtual_mailbox_domains;
    struct str relay_domains;
    struct str parent_domain_matches_subdomains;
    struct str local_transport;
    struct str virtual_transport;
    struct str relay_transport;
    struct str default_transport;
    struct str relayhost;
    struct str empty_address_recipient;
    /* What user@[address] may name to be local; borrowed until router_free. */
    const struct own_addresses *own_addresses;
};

enum address_class {
    CLASS_LOCAL,         /* mydestination, own addresses */
    CLASS_VIRTUAL_ALIAS, /* virtual_alias_domains: what is left there is an unknown user */
    CLASS_VIRTUAL,       /* virtual_mailbox_domains */
    CLASS_RELAY,         /* relay_domains */
    CLASS_DEFAULT,       /* everything else */
};

struct route {
    enum address_class address_class;
    struct str transport; /* "smtp" */
    struct str nexthop;   /* "example.com", "[mail.example.com]:587", "[192.0.2.1]"; for `error`
                             the text */
    struct str address;   /* the recipient with a domain: "root" has become root@$myorigin */
};

struct router;

/* NULL with `error` for a list that cannot be read (it names the parameter). `old` may be NULL; it
 * is the router that the new one will replace, and lends a list that is set to the same as before
 * but cannot be read again: a confined role does not reach the files that it names. `old` may only
 * be freed after that. `warning` hears of it. */
struct router *router_new(const struct route_settings *settings, struct router *old,
                          void (*warning)(void *argument, const char *text), void *argument,
                          struct error *error);
void router_free(struct router **router);

/* `recipient` in internal form; the route's strings live in the router, the recipient or the
 * arena. False: a list's table cannot answer just now; the mail waits. */
must_check bool router_find(struct router *router, struct arena *arena, struct str recipient,
                            struct route *route, struct error *error);
/* Sends a routed recipient elsewhere: `filter` is "transport:nexthop"; without a next hop it is the
 * recipient's domain. */
void route_through_filter(struct route *route, struct arena *arena, struct str filter);
