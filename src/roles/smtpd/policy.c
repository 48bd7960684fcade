/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include "authentication.h"
#include "base/memory.h"
#include "encryption.h"
#include "mail/flush_domains.h"
#include "table/table_source.h"

static void warn(void *argument, const char *text)
{
    const struct policy *policy = argument;

    log_warning(&policy->log, "%s", text);
}

/* ---- words in lists ---- */

bool policy_list_has_word(struct str list, struct str wanted)
{
    struct str word;

    while (table_next_word(&list, &word)) {
        if (str_equal_fold(word, wanted))
            return true;
    }
    return false;
}

static bool set_command_lists(struct policy *policy, struct error *error)
{
    struct match_list_options options = { .name = STR("smtpd_forbidden_commands"),
                                          .has_plain_words = true,
                                          .warning = warn,
                                          .argument = policy };

    policy->forbidden_commands =
        match_list_new(policy->config->smtpd_forbidden_commands, &options, error);
    options.name = STR("smtpd_noop_commands");
    policy->noop_commands =
        policy->forbidden_commands == NULL
            ? NULL
            : match_list_new(policy->config->smtpd_noop_commands, &options, error);
    return policy->noop_commands != NULL;
}

/* What a table cannot say of a command is no reason to treat it as another one. */
static bool has_command(const struct policy *policy, const char *parameter, struct match_list *list,
                        struct str verb)
{
    struct error error;
    enum match_outcome outcome = match_list_find_name(list, verb, &error);

    if (outcome == MATCH_FAILED)
        log_warning(&policy->log, "%s: %s", parameter, error.message);
    return outcome == MATCH_FOUND;
}

bool policy_forbids_command(const struct policy *policy, struct str verb)
{
    return str_find_byte(verb, ':') > 0 ||
           has_command(policy, "smtpd_forbidden_commands", policy->forbidden_commands, verb);
}

bool policy_ignores_command(const struct policy *policy, struct str verb)
{
    return has_command(policy, "smtpd_noop_commands", policy->noop_commands, verb);
}

/* ---- replies that never change ---- */

static bool make_banner(struct policy *policy, struct error *error)
{
    struct str banner = str_trim(policy->config->smtpd_banner);

    for (size_t i = 0; i < banner.len; i++) {
        if (!ascii_is_print(banner.ptr[i]))
            return error_set(error,
                             "parameter smtpd_banner: a control or 8-bit character at "
                             "position %zu; take it out",
                             i + 1);
    }
    if (!str_starts_with_fold(banner, policy->myhostname))
        log_warning(&policy->log,
                    "smtpd_banner does not begin with the host name \"%.*s\", which "
                    "RFC 5321 asks for",
                    STR_ARGS(policy->myhostname));
    policy->banner = str_from(arena_printf(&policy->arena, "220 %.*s\r\n", STR_ARGS(banner)));
    return true;
}

/* ---- making it ---- */

static bool make_list(struct policy *policy, const char *name, struct str text,
                      struct match_list **list, struct error *error)
{
    struct match_list_options options = {
        .name = str_from(name),
        .matches_parent_domains = destinations_match_parents(policy->config, str_from(name)),
        .warning = warn,
        .argument = policy,
    };

    *list = match_list_new(text, &options, error);
    return *list != NULL;
}

static bool make_lists(struct policy *policy, struct error *error)
{
    const struct config *config = policy->config;

    return make_list(policy, "smtpd_authorized_xclient_hosts",
                     config->smtpd_authorized_xclient_hosts, &policy->xclient_hosts, error) &&
           make_list(policy, "smtpd_authorized_xforward_hosts",
                     config->smtpd_authorized_xforward_hosts, &policy->xforward_hosts, error) &&
           make_list(policy, "smtpd_authorized_verp_clients", config->smtpd_authorized_verp_clients,
                     &policy->verp_clients, error);
}

static bool set_bare_newline(struct policy *policy, struct error *error)
{
    struct str value = policy->config->smtpd_forbid_bare_newline;
    int code = policy->config->smtpd_forbid_bare_newline_reject_code;
    if (code < 400 || code > 599)
        return error_set(error,
                         "parameter smtpd_forbid_bare_newline_reject_code: %d is no code "
                         "that refuses; use 400 to 599",
                         code);
    if (str_equal_fold(value, STR("reject")))
        policy->bare_newline = BARE_NEWLINE_IS_REJECTED;
    else if (str_equal_fold(value, STR("normalize")) || str_equal_fold(value, STR("yes")))
        policy->bare_newline = BARE_NEWLINE_IS_NORMALISED;
    else if (str_equal_fold(value, STR("note")))
        policy->bare_newline = BARE_NEWLINE_IS_NORMALISED;
    else if (str_equal_fold(value, STR("no")))
        log_warning(&policy->log, "smtpd_forbid_bare_newline = no is taken as \"normalize\": only "
                                  "<CR><LF>.<CR><LF> ends a message here");
    else
        return error_set(error,
                         "parameter smtpd_forbid_bare_newline: \"%.*s\"; it is one of: "
                         "normalize, reject, note, yes, no",
                         STR_ARGS(value));
    return make_list(policy, "smtpd_forbid_bare_newline_exclusions",
                     policy->config->smtpd_forbid_bare_newline_exclusions,
                     &policy->bare_newline_exclusions, error);
}

static bool set_authentication(struct policy *policy, struct service *service, struct error *error)
{
    if (!policy->config->smtpd_sasl_auth_enable)
        return true;
    policy->authentication = authentication_new(service, policy->config, &policy->log, error);
    return policy->authentication != NULL;
}

static bool set_encryption(struct policy *policy, const struct policy_options *options,
                           struct error *error)
{
    const struct encryption_options own = { .service = options->service,
                                            .keys = options->keys,
                                            .config = policy->config,
                                            .log = &policy->log };

    policy->encryption = encryption_new(&own, error);
    return policy->encryption != NULL;
}

static bool set_client_lists(struct policy *policy, struct error *error)
{
    struct match_list_options options = { .name = STR("smtpd_log_access_permit_actions"),
                                          .warning = warn,
                                          .argument = policy };

    policy->logged_permits =
        match_list_new(policy->config->smtpd_log_access_permit_actions, &options, error);
    if (policy->logged_permits == NULL)
        return false;
    options.name = STR("smtpd_client_event_limit_exceptions");
    options.matches_parent_domains =
        policy_list_has_word(policy->config->parent_domain_matches_subdomains, options.name);
    policy->limit_exceptions =
        match_list_new(policy->config->smtpd_client_event_limit_exceptions, &options, error);
    if (policy->limit_exceptions == NULL)
        return false;
    options.name = STR("debug_peer_list");
    options.matches_parent_domains =
        policy_list_has_word(policy->config->parent_domain_matches_subdomains, options.name);
    policy->debug_peers = match_list_new(policy->config->debug_peer_list, &options, error);
    return policy->debug_peers != NULL;
}

/* "check_address_map type:table", or the table alone. */
static bool make_rewrite_clients(struct policy *policy, struct error *error)
{
    struct match_list_options options = { .name = STR("local_header_rewrite_clients"),
                                          .warning = warn,
                                          .argument = policy };
    struct str rest = policy->config->local_header_rewrite_clients;
    autofree_buf struct buf tables = { 0 };
    struct str word;

    while (table_next_word(&rest, &word)) {
        if (!table_is_specification(word))
            continue;
        buf_append(&tables, word);
        buf_append_byte(&tables, ' ');
    }
    policy->rewrite_clients = match_list_new(buf_str(&tables), &options, error);
    return policy->rewrite_clients != NULL;
}

static bool make_cleanup(struct policy *policy, struct error *error)
{
    struct config *config = policy->config;
    struct route_settings route = route_settings_from(config, policy->own);
    struct cleanup_options cleanup = {
        .config = config,
        .own = policy->own,
        .log = policy->cleanup_log,
    };

    if (!make_rewrite_clients(policy, error))
        return false;
    policy->router = router_new(&route, NULL, warn, policy, error);
    policy->cleanup_parts = cleanup_external_parts(config);
    policy->cleanup = policy->router != NULL ? cleanup_new(&cleanup, error) : NULL;
    return policy->cleanup != NULL;
}

static void open_tables(struct policy *policy)
{
    const struct config *config = policy->config;
    const struct {
        struct table_list **list;
        const char *name;
        struct str text;
        bool keeps_case;
    } rows[] = {
        { &policy->discard_maps, "smtpd_discard_ehlo_keyword_address_maps",
          config->smtpd_discard_ehlo_keyword_address_maps, false },
        { &policy->footer_maps, "smtpd_reject_footer_maps", config->smtpd_reject_footer_maps,
          true },
        { &policy->command_filter, "smtpd_command_filter", config->smtpd_command_filter, false },
        { &policy->dns_filter, "smtpd_dns_reply_filter", config->smtpd_dns_reply_filter, false },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct table_options options = { .warning = warn,
                                         .argument = policy,
                                         .keeps_case = rows[i].keeps_case };
        *rows[i].list = table_list_new(str_from(rows[i].name), rows[i].text, &options, NULL);
    }
}

static bool policy_fill(struct policy *policy, struct service *service, struct error *error)
{
    struct config *config = policy->config;

    policy->myhostname = config->myhostname;
    policy->rewrite = rewrite_rules_from(config);
    policy->own = own_addresses_new(config->inet_interfaces, config->proxy_interfaces, error);
    if (policy->own == NULL)
        return false;
    policy->destinations = destinations_new(config, policy->own, warn, policy, error);
    if (policy->destinations == NULL)
        return false;
    open_tables(policy);
    policy->maps = lookup_maps_new(warn, policy);
    policy->recipient_maps = recipient_maps_new(config, policy->destinations, warn, policy);
    struct restrictions_options options = {
        .service = service,
        .config = config,
        .maps = policy->maps,
        .recipient_maps = policy->recipient_maps,
        .own = policy->own,
        .destinations = policy->destinations,
        .warning = warn,
        .argument = policy,
    };
    policy->restrictions = restrictions_new(&options, error);
    if (policy->restrictions == NULL || !set_bare_newline(policy, error) ||
        !set_client_lists(policy, error) || !set_command_lists(policy, error) ||
        !make_lists(policy, error) || !make_banner(policy, error))
        return false;
    policy->flush_domains = flush_domains_new(config, warn, policy, error);
    return policy->flush_domains != NULL && make_cleanup(policy, error);
}

struct policy *policy_new(const struct policy_options *options, struct error *error)
{
    struct policy *policy = memory_new(sizeof(*policy));

    if (options->calm != NULL && options->config->lender == options->calm->config) {
        *policy = *options->calm;
        policy->config = options->config;
        policy->is_borrower = true;
        return policy;
    }
    policy->config = options->config;
    policy->log = options->log;
    policy->cleanup_log = options->cleanup_log;
    policy->service_name = options->service_name;
    if (!policy_fill(policy, options->service, error) ||
        !set_authentication(policy, options->service, error) ||
        !set_encryption(policy, options, error))
        policy_free(&policy);
    return policy;
}

static void free_parts(struct policy *policy)
{
    authentication_free(&policy->authentication);
    encryption_free(&policy->encryption);
    match_list_free(&policy->bare_newline_exclusions);
    match_list_free(&policy->xclient_hosts);
    match_list_free(&policy->xforward_hosts);
    match_list_free(&policy->verp_clients);
    match_list_free(&policy->forbidden_commands);
    match_list_free(&policy->noop_commands);
    match_list_free(&policy->flush_domains);
    table_list_free(&policy->discard_maps);
    table_list_free(&policy->footer_maps);
    table_list_free(&policy->command_filter);
    table_list_free(&policy->dns_filter);
    cleanup_free(&policy->cleanup);
    router_free(&policy->router);
    match_list_free(&policy->rewrite_clients);
    restrictions_free(&policy->restrictions);
    recipient_maps_free(&policy->recipient_maps);
    lookup_maps_free(&policy->maps);
    match_list_free(&policy->logged_permits);
    match_list_free(&policy->limit_exceptions);
    match_list_free(&policy->debug_peers);
    destinations_free(&policy->destinations);
    own_addresses_free(&policy->own);
    arena_clear(&policy->arena);
}

void policy_free(struct policy **policy)
{
    if (*policy == NULL)
        return;
    if (!(*policy)->is_borrower)
        free_parts(*policy);
    config_free(&(*policy)->config);
    memory_free(*policy);
    *policy = NULL;
}
