/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"

#include "config/twins.h"
#include "net/sasl_client.h"
#include "net/tls_library.h"
#include "nexthop.h"
#include "service/login_cache.h"

void transports_init(struct transports *transports, const struct config_source *source,
                     struct log *log, struct keys_client *keys)
{
    *transports =
        (struct transports){ .source = source, .log = log, .keys = keys, .by_name = map_new() };
}

static void free_lists(struct transport *transport)
{
    client_tables_close(&transport->tables);
    tls_rules_free(&transport->tls);
    generic_free(&transport->generic);
    content_checks_free(&transport->checks);
    match_list_free(&transport->traced_peers);
    match_list_free(&transport->sasl_mechanism_filter);
}

void transports_clear(struct transports *transports)
{
    struct map_cursor cursor = { 0 };

    while (transports->by_name != NULL && map_next(transports->by_name, &cursor)) {
        struct transport *transport = cursor.value;
        free_lists(transport);
        config_free(&transport->config);
    }
    if (transports->by_name != NULL)
        map_free(&transports->by_name);
    arena_clear(&transports->arena);
}

static void set_protocols(struct transport *transport)
{
    struct str rest = transport->config->inet_protocols;
    struct str word;

    while (str_next_word(&rest, ", \t\r\n", &word)) {
        bool is_all = str_equal_fold(word, STR("all"));
        transport->uses_ipv4 |= is_all || str_equal_fold(word, STR("ipv4"));
        transport->uses_ipv6 |= is_all || str_equal_fold(word, STR("ipv6"));
    }
    transport->prefers_ipv4 =
        str_equal_fold(transport->config->smtp_address_preference, STR("ipv4"));
    transport->prefers_ipv6 =
        str_equal_fold(transport->config->smtp_address_preference, STR("ipv6"));
}

static bool set_name_service(struct transport *transport, struct error *error)
{
    const struct config *config = transport->config;
    struct str level = config->smtp_dns_support_level, rest = config->smtp_host_lookup, word;

    transport->wants_dnssec = str_equal_fold(level, STR("dnssec"));
    transport->uses_dns = transport->wants_dnssec || str_equal_fold(level, STR("enabled")) ||
                          (level.len == 0 && !config->disable_dns_lookups);
    if (!transport->uses_dns && level.len > 0 && !str_equal_fold(level, STR("disabled")))
        return error_set(error, "invalid smtp_dns_support_level: \"%.*s\"", STR_ARGS(level));
    while (str_next_word(&rest, ", \t\r\n", &word)) {
        bool is_dns = str_equal_fold(word, STR("dns"));
        transport->uses_dns_hosts |= is_dns && transport->uses_dns;
        transport->uses_native_hosts |= !is_dns;
        if (!is_dns && !str_equal_fold(word, STR("native")))
            return error_set(error, "unknown smtp_host_lookup value \"%.*s\"", STR_ARGS(word));
    }
    return name_search_parse(config->smtp_dns_resolver_options, &transport->name_search, error);
}

static bool set_bind_address(const char *parameter, struct str value, int family,
                             struct net_address *address, bool *has_address, struct error *error)
{
    if (value.len == 0)
        return true;
    if (!net_address_parse(value, 0, address) || address->any.sa_family != family)
        return error_set(error, "%s = %.*s is not an %s address", parameter, STR_ARGS(value),
                         family == AF_INET ? "IPv4" : "IPv6");
    *has_address = true;
    return true;
}

static void refuse_unprotected(struct transport *transport)
{
    const struct config *config = transport->config;

    if (config->smtp_sasl_auth_enable && !str_equal_fold(config->smtp_sasl_type, STR("cyrus"))) {
        transport->refusal_dsn = STR("4.7.0");
        transport->refusal = STR("smtp_sasl_type names no client for SASL; there is only cyrus");
    }
}

/* Mail that is to leave from an address of its own says so for a reason: who can only be reached
 * from there, or is trusted only there. So where the administrator named one and did not say what
 * to do without it, mail waits; Postfix's default is to go on from any address. */
static void set_must_bind(struct transport *transport)
{
    struct str name =
        transport->is_lmtp ? STR("lmtp_bind_address_enforce") : STR("smtp_bind_address_enforce");

    transport->must_bind =
        transport->config->smtp_bind_address_enforce || !config_is_set(transport->config, name);
}

/* flags=DORX behind the command in master.cf. X only matters to success notices. */
static bool set_flags(struct transport *transport, struct error *error)
{
    const struct master_service *service = transport->config->service;

    for (size_t i = 0; service != NULL && i < service->argument_count; i++) {
        struct str flags = service->arguments[i];
        if (!str_starts_with(flags, STR("flags=")))
            continue;
        for (flags = str_skip(flags, 6); flags.len > 0; flags = str_skip(flags, 1)) {
            transport->has_flag_delivered_to |= flags.ptr[0] == 'D';
            transport->has_flag_original_to |= flags.ptr[0] == 'O';
            transport->has_flag_return_path |= flags.ptr[0] == 'R';
            if (strchr("DORX", flags.ptr[0]) == NULL)
                return error_set(error, "unknown flag \"%c\"", flags.ptr[0]);
        }
    }
    return true;
}

static bool set_traced_peers(struct transport *transport, struct error *error)
{
    const struct config *config = transport->config;
    struct match_list_options options = {
        .name = STR("debug_peer_list"),
        .matches_parent_domains =
            str_list_has(config->parent_domain_matches_subdomains, STR("debug_peer_list")),
    };

    if (config->debug_peer_level <= 0 || config->debug_peer_list.len == 0)
        return true;
    transport->traced_peers = match_list_new(config->debug_peer_list, &options, error);
    return transport->traced_peers != NULL;
}

static bool set_sasl(struct transport *transport, struct error *error)
{
    const struct config *config = transport->config;
    struct match_list_options options = { .name = STR("smtp_sasl_mechanism_filter") };

    if (!config->smtp_sasl_auth_enable)
        return true;
    if (!tls_library_load(error) || /* the mechanisms' digests; once confined it cannot be */
        !sasl_demands_parse(config->smtp_sasl_security_options, &transport->sasl_demands, error) ||
        !sasl_demands_parse(config->smtp_sasl_tls_security_options, &transport->sasl_tls_demands,
                            error) ||
        !sasl_demands_parse(config->smtp_sasl_tls_verified_security_options,
                            &transport->sasl_tls_verified_demands, error) ||
        !login_cache_map(config, &transport->login_cache_map, error))
        return false;
    transport->sasl_mechanism_filter =
        match_list_new(config->smtp_sasl_mechanism_filter, &options, error);
    return transport->sasl_mechanism_filter != NULL;
}

static bool fill_transport(struct transports *transports, struct transport *transport,
                           struct error *error)
{
    const struct config *config = transport->config;
    struct str tag;

    transport->is_lmtp =
        config->service != NULL && str_equal(config->service->command, STR("lmtp"));
    if (transport->is_lmtp)
        config_use_lmtp(transport->config);
    transport->helo_name = config->smtp_helo_name;
    if (transport->helo_name.len == 0)
        transport->helo_name = config->myhostname;
    tag = str_from(arena_printf(&transports->arena, "%.*s/%s", STR_ARGS(config->syslog_name),
                                transport->is_lmtp ? "lmtp" : "smtp"));
    transport->log = (struct log_context){ .log = transports->log, .tag = tag };
    if (!nexthop_port_parse(config->smtp_tcp_port, &transport->default_port))
        return error_set(error, "smtp_tcp_port = %.*s is no port", STR_ARGS(config->smtp_tcp_port));
    set_protocols(transport);
    set_must_bind(transport);
    refuse_unprotected(transport);
    if (!set_flags(transport, error))
        return false;
    client_tables_open(&transport->tables, config, &transport->log);
    const struct tls_rules_options tls = { .config = config,
                                           .log = &transport->log,
                                           .keys = transports->keys,
                                           .is_lmtp = transport->is_lmtp };
    transport->tls = tls_rules_new(&tls, error);
    if (transport->tls == NULL)
        return false;
    transport->checks = content_checks_new_for_delivery(config, &transport->log);
    error->message[0] = '\0';
    transport->generic = generic_new(config, &transport->log, error);
    if (transport->generic == NULL && error->message[0] != '\0')
        return false;
    return set_name_service(transport, error) && set_traced_peers(transport, error) &&
           set_sasl(transport, error) &&
           set_bind_address("smtp_bind_address", config->smtp_bind_address, AF_INET,
                            &transport->bind4, &transport->has_bind4, error) &&
           set_bind_address("smtp_bind_address6", config->smtp_bind_address6, AF_INET6,
                            &transport->bind6, &transport->has_bind6, error);
}

const struct transport *transport_get(struct transports *transports, struct str name,
                                      struct error *error)
{
    struct transport *transport = map_find(transports->by_name, name);
    const struct master_service *service;

    if (transport != NULL)
        return transport;
    service = master_cf_find(&transports->source->master_cf, name, SERVICE_UNIX);
    if (service == NULL) {
        (void)error_set(error, "master.cf has no service \"%.*s unix\"", STR_ARGS(name));
        return NULL;
    }
    transport = arena_new(&transports->arena, sizeof *transport);
    transport->name = arena_copy(&transports->arena, name);
    transport->config = config_new(transports->source, service, NULL, NULL, error);
    if (transport->config == NULL)
        return NULL;
    if (!fill_transport(transports, transport, error)) {
        free_lists(transport);
        config_free(&transport->config);
        return NULL;
    }
    map_set(transports->by_name, transport->name, transport);
    return transport;
}

void transports_open_all(struct transports *transports)
{
    const struct master_cf *master_cf = &transports->source->master_cf;
    struct error error;

    for (size_t i = 0; i < master_cf->count; i++) {
        const struct master_service *service = &master_cf->services[i];
        bool is_client =
            str_equal(service->command, STR("smtp")) || str_equal(service->command, STR("lmtp"));
        if (is_client && service->type == SERVICE_UNIX)
            (void)transport_get(transports, service->name, &error);
    }
}
