/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transports this worker was asked to deliver by: for each master.cf service its configuration
 * (main.cf with the line's overrides) and what was worked out from it once. Made at start,
 * immutable, and alive until the worker ends.
 */
#pragma once

#include "base/arena.h"
#include "base/log.h"
#include "base/map.h"
#include "client_tables.h"
#include "config/config.h"
#include "generic.h"
#include "mail/content_checks.h"
#include "name_search.h"
#include "net/address.h"
#include "table/match_list.h"
#include "tls_policy.h"

struct transport {
    struct str name;
    struct config *config;
    struct log_context log; /* tag "postfix/smtp", or with the line's syslog_name */
    bool is_lmtp;
    struct str helo_name;
    struct client_tables tables;
    struct tls_rules *tls;
    struct content_checks *checks;   /* of what leaves; NULL: none */
    struct generic *generic;         /* smtp_generic_maps; NULL: none */
    struct match_list *traced_peers; /* debug_peer_list, where debug_peer_level is above 0 */
    unsigned sasl_demands, sasl_tls_demands, sasl_tls_verified_demands; /* enum sasl_demand bits */
    struct match_list *sasl_mechanism_filter;
    struct str login_cache_map;             /* smtp_sasl_auth_cache_name; empty: none */
    bool uses_dns, wants_dnssec;            /* smtp_dns_support_level */
    bool uses_dns_hosts, uses_native_hosts; /* smtp_host_lookup */
    unsigned name_search;                   /* enum name_search bits */
    uint16_t default_port;                  /* smtp_tcp_port */
    bool uses_ipv4, uses_ipv6;              /* inet_protocols */
    bool prefers_ipv4, prefers_ipv6;        /* smtp_address_preference */
    bool has_bind4, has_bind6;
    struct net_address bind4, bind6; /* smtp_bind_address, smtp_bind_address6 */
    bool must_bind;                  /* mail waits where it cannot be sent from there */
    bool has_flag_delivered_to, has_flag_original_to, has_flag_return_path; /* flags=DOR */
    /* Set where the configuration asks for protection this build cannot give: everything is
     * deferred with this text rather than sent without it. */
    struct str refusal_dsn;
    struct str refusal;
};

struct transports {
    const struct config_source *source;
    struct log *log;
    struct keys_client *keys; /* the worker's */
    struct map *by_name;
    struct arena arena;
};

void transports_init(struct transports *transports, const struct config_source *source,
                     struct log *log, struct keys_client *keys);
/* Makes those of all smtp and lmtp services, while files can be opened. What is wrong with one is
 * said when it is used. */
void transports_open_all(struct transports *transports);
void transports_clear(struct transports *transports);
/* NULL with `error` where master.cf has no such service or its parameters are bad. */
const struct transport *transport_get(struct transports *transports, struct str name,
                                      struct error *error);
