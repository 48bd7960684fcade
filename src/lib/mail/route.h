/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a recipient's mail goes: its address class, and from that the transport (a service of
 * master.cf) and the next hop. What Postfix's trivial-rewrite resolves, in its order:
 *
 *   1. the address: what is at this machine only to be sent on (user%far@here) goes there;
 *   2. the class, by the domain: local, virtual alias, virtual mailbox, relay, default;
 *   3. its transport, and for the default class sender_dependent_default_transport_maps;
 *   4. the next hop: the transport's own, else for the relay and default classes
 *      sender_dependent_relayhost_maps, relayhost; else the domain;
 *   5. transport_maps, which override both (not for virtual alias domains);
 *   6. relocated_maps.
 *
 * Made from the configuration before the role is confined; only tables change after that.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "config/config.h"
#include "mail/rewrite.h"
#include "net/own_addresses.h"

/* The values as configured, expanded. Strings may be freed after router_new. */
struct route_settings {
    struct str myhostname;
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
    struct str transport_maps;
    struct str sender_dependent_default_transport_maps;
    struct str sender_dependent_relayhost_maps;
    struct str relocated_maps;
    struct str empty_address_recipient;
    struct str empty_sender_transport_key; /* empty_address_default_transport_maps_lookup_key */
    struct str empty_sender_relayhost_key; /* empty_address_relayhost_maps_lookup_key */
    struct str recipient_delimiter;
    struct str default_filter_nexthop;
    struct rewrite_rules rewrite;
    bool splits_owner_names;   /* owner_request_special = no */
    bool keeps_quotes;         /* resolve_dequoted_address = no: "a@b"@here is a user's name */
    bool may_start_with_dash;  /* allow_min_user */
    bool hides_table_name;     /* show_user_unknown_table_name = no */
    bool has_relocated_prefix; /* relocated_prefix_enable */
    /* What user@[address] may name to be local; borrowed until router_free. */
    const struct own_addresses *own_addresses;
};
/* Borrows the configuration's strings. */
struct route_settings route_settings_from(const struct config *config,
                                          const struct own_addresses *own);

/* Changes them to what address_verify_* say. False: those say nothing else, the settings are as
 * before. */
bool route_settings_for_probes(const struct config *config, struct route_settings *settings);

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
    struct str address;   /* where it goes: "root" has become root@$myhostname, user%far@here
                             user@far */
    bool is_bad;          /* no address that mail could go to; transport and next hop say so */
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

/* Both addresses in internal form, the sender empty where it is the null sender. The route's
 * strings live in the router, the recipient or the arena. False: a table cannot answer just now;
 * the mail waits, and RCPT is answered 451. */
must_check bool router_find(struct router *router, struct arena *arena, struct str sender,
                            struct str recipient, struct route *route, struct error *error);
/* Sends a routed recipient elsewhere: `filter` is "transport:nexthop"; without a next hop it is
 * default_filter_nexthop, or else the recipient's domain. */
void route_through_filter(const struct router *router, struct arena *arena, struct str filter,
                          struct route *route);
