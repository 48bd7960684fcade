/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/route.h"

#include "base/ensure.h"
#include "base/memory.h"
#include "mail/address.h"
#include "mail/address_map.h"
#include "mail/local_domain.h"
#include "mail/utf8.h"

enum { LOCAL_HOPS_MAX = 100 }; /* user%a%b%c@here: so often is looked behind it */

/* "transport:nexthop"; without a next hop the recipient's domain is it. */
struct target {
    struct str transport;
    struct str nexthop;
};

/* The lists of domains, each naming a class. */
enum listed { LISTED_LOCAL, LISTED_VIRTUAL_ALIAS, LISTED_VIRTUAL, LISTED_RELAY, LISTED_COUNT };

struct router {
    struct arena arena;
    struct match_list *lists[LISTED_COUNT];
    struct str list_texts[LISTED_COUNT];
    struct target targets[CLASS_DEFAULT + 1];
    struct table_list *transports, *relocated;
    struct table_list *sender_transports, *sender_relayhosts;
    struct route_settings settings; /* its strings live in the arena, or are not used again */
    struct address_map_rules rules;
    unsigned transport_keys; /* enum address_key bits */
};

static struct target target_parse(struct arena *arena, struct str value)
{
    struct str rest = str_trim(value);
    ptrdiff_t colon = str_find_byte(rest, ':');

    if (colon < 0)
        return (struct target){ .transport = arena_copy(arena, rest) };
    return (struct target){
        .transport = arena_copy(arena, str_take(rest, (size_t)colon)),
        .nexthop = arena_copy(arena, str_trim(str_skip(rest, (size_t)colon + 1))),
    };
}

static bool names_parameter(struct str list, struct str name)
{
    struct str word;

    while (str_next_word(&list, ", \t\r\n", &word))
        if (str_equal_fold(word, name))
            return true;
    return false;
}

/* The list of a router that is being replaced, when it is set to the same. */
static bool take_list(struct router *router, struct router *old, int i,
                      const struct match_list_options *options, const struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };

    if (old == NULL || old->lists[i] == NULL ||
        !str_equal(old->list_texts[i], router->list_texts[i]))
        return false;
    router->lists[i] = old->lists[i];
    old->lists[i] = NULL;
    if (options->warning != NULL)
        options->warning(options->argument,
                         arena_printf(&scratch,
                                      "%.*s stays as it was read at the start (%s); stop and start "
                                      "to have it read again",
                                      STR_ARGS(options->name), error->message));
    return true;
}

static void give_lists_back(struct router *router, struct router *old)
{
    for (int i = 0; old != NULL && i < LISTED_COUNT; i++) {
        if (old->lists[i] != NULL)
            continue;
        old->lists[i] = router->lists[i];
        router->lists[i] = NULL;
    }
}

static bool open_lists(struct router *router, const struct route_settings *settings,
                       struct router *old, const struct match_list_options *hearers,
                       struct error *error)
{
    const struct {
        struct str name, text;
    } sources[LISTED_COUNT] = {
        [LISTED_LOCAL] = { STR("mydestination"), settings->mydestination },
        [LISTED_VIRTUAL_ALIAS] = { STR("virtual_alias_domains"), settings->virtual_alias_domains },
        [LISTED_VIRTUAL] = { STR("virtual_mailbox_domains"), settings->virtual_mailbox_domains },
        [LISTED_RELAY] = { STR("relay_domains"), settings->relay_domains },
    };

    for (int i = 0; i < LISTED_COUNT; i++) {
        struct match_list_options options = *hearers;
        options.name = sources[i].name;
        /* Of these four only relay_domains knows "parent matches subdomain" in Postfix. */
        options.matches_parent_domains =
            i == LISTED_RELAY &&
            names_parameter(settings->parent_domain_matches_subdomains, STR("relay_domains"));
        router->list_texts[i] = arena_copy(&router->arena, sources[i].text);
        router->lists[i] = match_list_new(sources[i].text, &options, error);
        if (router->lists[i] == NULL && !take_list(router, old, i, &options, error)) {
            give_lists_back(router, old);
            return error_context(error, "%.*s", STR_ARGS(sources[i].name));
        }
    }
    return true;
}

static void open_tables(struct router *router, const struct route_settings *settings,
                        struct router *old, const struct match_list_options *hearers)
{
    const struct table_options options = { .warning = hearers->warning,
                                           .argument = hearers->argument };
    const struct {
        struct str name, text;
        struct table_list **list, *old;
    } rows[] = {
#define ROW(parameter, member)                                                                     \
    { STR(#parameter), settings->parameter, &router->member, old != NULL ? old->member : NULL }
        ROW(transport_maps, transports),
        ROW(relocated_maps, relocated),
        ROW(sender_dependent_default_transport_maps, sender_transports),
        ROW(sender_dependent_relayhost_maps, sender_relayhosts),
#undef ROW
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        *rows[i].list = table_list_new(rows[i].name, rows[i].text, &options, rows[i].old);
}

static enum match_outcome is_local(const void *argument, struct str domain, struct error *error)
{
    const struct router *router = argument;

    if (literal_is_own(router->settings.own_addresses, domain))
        return MATCH_FOUND;
    return match_list_find_name(router->lists[LISTED_LOCAL], domain, error);
}

static enum match_outcome is_local_or_origin(const void *argument, struct str domain,
                                             struct error *error)
{
    const struct router *router = argument;

    if (str_equal_fold(domain, router->settings.myorigin))
        return MATCH_FOUND;
    return is_local(argument, domain, error);
}

static void copy_settings(struct router *router, const struct route_settings *settings)
{
    struct route_settings *copy = &router->settings;
    struct str *const texts[] = {
        &copy->myhostname,
        &copy->myorigin,
        &copy->relayhost,
        &copy->empty_address_recipient,
        &copy->empty_sender_transport_key,
        &copy->empty_sender_relayhost_key,
        &copy->recipient_delimiter,
        &copy->default_filter_nexthop,
        &copy->rewrite.myorigin,
        &copy->rewrite.mydomain,
    };

    *copy = *settings;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *texts[i] = arena_copy(&router->arena, str_trim(*texts[i]));
    router->rules = (struct address_map_rules){
        .rewrite = copy->rewrite,
        .extensions = { copy->recipient_delimiter, copy->splits_owner_names },
        .is_local = is_local_or_origin,
        .argument = router,
    };
    bool has_plain_parents =
        names_parameter(settings->parent_domain_matches_subdomains, STR("transport_maps"));
    router->transport_keys = ADDRESS_KEY_WHOLE | ADDRESS_KEY_WITHOUT_EXTENSION |
                             ADDRESS_KEY_DOMAIN |
                             (has_plain_parents ? ADDRESS_KEY_PARENTS : ADDRESS_KEY_DOT_PARENTS);
}

struct route_settings route_settings_from(const struct config *config,
                                          const struct own_addresses *own)
{
    return (struct route_settings){
        .myhostname = config->myhostname,
        .myorigin = config->myorigin,
        .mydestination = config->mydestination,
        .virtual_alias_domains = config->virtual_alias_domains,
        .virtual_mailbox_domains = config->virtual_mailbox_domains,
        .relay_domains = config->relay_domains,
        .parent_domain_matches_subdomains = config->parent_domain_matches_subdomains,
        .local_transport = config->local_transport,
        .virtual_transport = config->virtual_transport,
        .relay_transport = config->relay_transport,
        .default_transport = config->default_transport,
        .relayhost = config->relayhost,
        .transport_maps = config->transport_maps,
        .sender_dependent_default_transport_maps = config->sender_dependent_default_transport_maps,
        .sender_dependent_relayhost_maps = config->sender_dependent_relayhost_maps,
        .relocated_maps = config->relocated_maps,
        .empty_address_recipient = config->empty_address_recipient,
        .empty_sender_transport_key = config->empty_address_default_transport_maps_lookup_key,
        .empty_sender_relayhost_key = config->empty_address_relayhost_maps_lookup_key,
        .recipient_delimiter = config->recipient_delimiter,
        .splits_owner_names = !config->owner_request_special,
        .default_filter_nexthop = config->default_filter_nexthop,
        .rewrite = rewrite_rules_from(config),
        .keeps_quotes = !config->resolve_dequoted_address,
        .may_start_with_dash = config->allow_min_user,
        .hides_table_name = !config->show_user_unknown_table_name,
        .has_relocated_prefix = config->relocated_prefix_enable,
        .own_addresses = own,
    };
}

bool route_settings_for_probes(const struct config *config, struct route_settings *settings)
{
    const struct {
        struct str *usual, probes;
    } rows[] = {
        { &settings->local_transport, config->address_verify_local_transport },
        { &settings->virtual_transport, config->address_verify_virtual_transport },
        { &settings->relay_transport, config->address_verify_relay_transport },
        { &settings->default_transport, config->address_verify_default_transport },
        { &settings->relayhost, config->address_verify_relayhost },
        { &settings->transport_maps, config->address_verify_transport_maps },
        { &settings->sender_dependent_default_transport_maps,
          config->address_verify_sender_dependent_default_transport_maps },
        { &settings->sender_dependent_relayhost_maps,
          config->address_verify_sender_dependent_relayhost_maps },
    };
    bool is_other = false;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        is_other |= !str_equal(*rows[i].usual, rows[i].probes);
        *rows[i].usual = rows[i].probes;
    }
    return is_other;
}

struct router *router_new(const struct route_settings *settings, struct router *old,
                          void (*warning)(void *argument, const char *text), void *argument,
                          struct error *error)
{
    struct router *router = memory_new(sizeof *router);
    struct arena *arena = &router->arena;
    const struct match_list_options hearers = { .warning = warning, .argument = argument };

    copy_settings(router, settings);
    router->targets[CLASS_LOCAL] = target_parse(arena, settings->local_transport);
    router->targets[CLASS_VIRTUAL_ALIAS] =
        (struct target){ STR("error"), settings->hides_table_name
                                           ? STR("5.1.1 User unknown")
                                           : STR("5.1.1 User unknown in virtual alias table") };
    router->targets[CLASS_VIRTUAL] = target_parse(arena, settings->virtual_transport);
    router->targets[CLASS_RELAY] = target_parse(arena, settings->relay_transport);
    router->targets[CLASS_DEFAULT] = target_parse(arena, settings->default_transport);
    open_tables(router, settings, old, &hearers);
    if (!open_lists(router, settings, old, &hearers, error))
        router_free(&router);
    return router;
}

void router_free(struct router **router)
{
    struct router *gone = *router;

    if (gone == NULL)
        return;
    for (int i = 0; i < LISTED_COUNT; i++)
        match_list_free(&gone->lists[i]);
    table_list_free(&gone->transports);
    table_list_free(&gone->relocated);
    table_list_free(&gone->sender_transports);
    table_list_free(&gone->sender_relayhosts);
    arena_clear(&gone->arena);
    memory_free(gone);
    *router = NULL;
}

/* ---- the address ---- */

/* A recipient while it is found out where it leads. */
struct destination_address {
    struct str address; /* has a domain, once it is settled */
    bool is_local;
    bool is_bad;
};

static bool needs_quotes(struct arena *arena, struct str local)
{
    autofree_buf struct buf external = { 0 };

    address_format(address_join(arena, local, STR("x")), &external);
    return external.len != local.len + 2;
}

/* Whether a name without a domain of ours leads on: a@b, a%b or b!a. Then it is written as an
 * address with that domain. */
static bool leads_on(const struct router *router, struct arena *arena, struct str local,
                     struct str *address)
{
    struct rewrite_rules rules = router->settings.rewrite;

    if (router->settings.keeps_quotes && needs_quotes(arena, local))
        return false;
    if (!address_has_domain(local)) {
        rules.may_append_myorigin = false;
        if (!address_has_domain(rewrite_address(arena, &rules, local)))
            return false;
    }
    *address = rewrite_address(arena, &router->settings.rewrite, local);
    return true;
}

/* "x." is "x", once. */
static struct str without_last_dot(struct str address)
{
    return address_has_domain(address) && str_ends_with(address, STR(".")) &&
                   !str_ends_with(address, STR("..")) && !str_ends_with(address, STR("@."))
               ? str_take(address, address.len - 1)
               : address;
}

static bool domain_is_bad(struct str domain)
{
    return domain_is_literal(domain) ? !domain_literal_is_valid(domain)
                                     : !domain_is_valid(domain, utf8_is_clean(domain));
}

/* Goes behind every domain that is ours. False: a list cannot answer. */
static bool settle_address(struct router *router, struct arena *arena, struct str recipient,
                           struct destination_address *found, struct error *error)
{
    struct str address = recipient.len > 0 ? recipient : router->settings.empty_address_recipient;
    struct str domain = router->settings.myhostname; /* of a name without one */

    *found = (struct destination_address){ .is_local = true };
    for (int hops = 0; hops < LOCAL_HOPS_MAX; hops++) {
        struct str local = address, next;
        if (address_has_domain(address)) {
            address = without_last_dot(address);
            enum match_outcome outcome = is_local(router, address_domain(address), error);
            if (outcome == MATCH_FAILED)
                return false;
            if (outcome == MATCH_ABSENT) {
                found->is_local = false;
                found->address = address;
                found->is_bad = domain_is_bad(address_domain(address));
                return true;
            }
            local = address_local(address);
            domain = address_domain(address);
        }
        found->address = address_join(arena, local, domain);
        if (!leads_on(router, arena, local, &next))
            return true;
        address = next;
    }
    found->is_bad = true;
    return true;
}

/* ---- the class ---- */

static bool find_class(struct router *router, const struct destination_address *address,
                       enum address_class *found, struct error *error)
{
    static const enum address_class classes[LISTED_COUNT] = {
        [LISTED_VIRTUAL_ALIAS] = CLASS_VIRTUAL_ALIAS,
        [LISTED_VIRTUAL] = CLASS_VIRTUAL,
        [LISTED_RELAY] = CLASS_RELAY,
    };

    *found = CLASS_LOCAL;
    for (int i = LISTED_VIRTUAL_ALIAS; !address->is_local && i < LISTED_COUNT; i++) {
        switch (match_list_find_name(router->lists[i], address_domain(address->address), error)) {
        case MATCH_FOUND:
            *found = classes[i];
            return true;
        case MATCH_ABSENT:
            break;
        case MATCH_FAILED:
            return false;
        }
    }
    if (!address->is_local)
        *found = CLASS_DEFAULT;
    return true;
}

/* ---- transport and next hop ---- */

/* What a sender has in a table; DUNNO is nothing. */
static enum lookup_outcome find_of_sender(struct router *router, struct table_list *tables,
                                          struct str sender, struct arena *arena, struct str *value,
                                          struct error *error)
{
    struct address_match match;
    enum lookup_outcome outcome =
        address_map_find(&router->rules, tables, sender, ADDRESS_KEYS_USUAL, arena, &match, error);

    if (outcome == LOOKUP_FAILED)
        error_context(error, "%.*s lookup failure", STR_ARGS(table_list_name(tables)));
    *value = str_trim(match.value);
    return outcome == LOOKUP_FOUND && str_equal_fold(*value, STR("DUNNO")) ? LOOKUP_ABSENT
                                                                           : outcome;
}

static bool choose_target(struct router *router, struct arena *arena, struct str sender,
                          struct route *route, struct error *error)
{
    struct target target = router->targets[route->address_class];
    struct str value;

    if (route->address_class == CLASS_DEFAULT) {
        struct str key = sender.len > 0 ? sender : router->settings.empty_sender_transport_key;
        switch (find_of_sender(router, router->sender_transports, key, arena, &value, error)) {
        case LOOKUP_FOUND:
            target = target_parse(arena, value);
            break;
        case LOOKUP_ABSENT:
            break;
        case LOOKUP_FAILED:
            return false;
        }
    }
    if (target.transport.len == 0)
        return error_set(error,
                         "sender_dependent_default_transport_maps: null transport is not allowed: "
                         "\"%.*s\"",
                         STR_ARGS(value));
    route->transport = target.transport;
    route->nexthop = target.nexthop;
    return true;
}

static bool choose_nexthop(struct router *router, struct arena *arena, struct str sender,
                           struct route *route, struct error *error)
{
    struct str domain = address_domain(route->address);
    struct str key = sender.len > 0 ? sender : router->settings.empty_sender_relayhost_key;
    struct str value;

    if (route->nexthop.len > 0)
        return true;
    route->nexthop = domain;
    if (route->address_class != CLASS_RELAY && route->address_class != CLASS_DEFAULT)
        return true;
    switch (find_of_sender(router, router->sender_relayhosts, key, arena, &value, error)) {
    case LOOKUP_FOUND:
        route->nexthop = value;
        return true;
    case LOOKUP_ABSENT:
        break;
    case LOOKUP_FAILED:
        return false;
    }
    if (router->settings.relayhost.len > 0)
        route->nexthop = router->settings.relayhost;
    return true;
}

/* "transport:nexthop", "transport:" and "transport" (the recipient's domain, whatever relayhost
 * says), ":nexthop", ":" (nothing changes). */
static void take_entry(struct arena *arena, struct str value, struct route *route)
{
    struct target target = target_parse(arena, value);

    if (target.transport.len > 0)
        route->transport = target.transport;
    if (target.nexthop.len > 0)
        route->nexthop = target.nexthop;
    else if (str_equal(target.transport, STR("error")) || str_equal(target.transport, STR("retry")))
        route->nexthop = STR("Address is undeliverable");
    else if (target.transport.len > 0)
        route->nexthop = address_domain(route->address);
}

static bool apply_transport_maps(struct router *router, struct arena *arena, struct route *route,
                                 struct error *error)
{
    struct address_match match;

    if (table_list_is_empty(router->transports) || route->address_class == CLASS_VIRTUAL_ALIAS)
        return true;
    enum lookup_outcome outcome =
        address_map_find(&router->rules, router->transports, route->address, router->transport_keys,
                         arena, &match, error);
    if (outcome == LOOKUP_ABSENT)
        outcome =
            table_list_find(router->transports, STR("*"), KEY_WHOLE, arena, &match.value, error);
    switch (outcome) {
    case LOOKUP_FOUND:
        take_entry(arena, match.value, route);
        return true;
    case LOOKUP_ABSENT:
        return true;
    case LOOKUP_FAILED:
        return error_context(error, "transport_maps lookup failure");
    }
    unreachable();
}

static bool apply_relocated_maps(struct router *router, struct arena *arena, struct route *route,
                                 struct error *error)
{
    struct address_match match;

    switch (address_map_find(&router->rules, router->relocated, route->address, ADDRESS_KEYS_USUAL,
                             arena, &match, error)) {
    case LOOKUP_FOUND:
        break;
    case LOOKUP_ABSENT:
        return true;
    case LOOKUP_FAILED:
        return error_context(error, "relocated_maps lookup failure");
    }
    route->transport = STR("error");
    route->nexthop = str_from(arena_printf(
        arena, "%s%.*s", router->settings.has_relocated_prefix ? "5.1.6 User has moved to " : "",
        STR_ARGS(match.value)));
    return true;
}

bool router_find(struct router *router, struct arena *arena, struct str sender,
                 struct str recipient, struct route *route, struct error *error)
{
    struct destination_address found;

    *route = (struct route){ .transport = STR("error"),
                             .nexthop = STR("5.1.3 bad address syntax"),
                             .address_class = CLASS_DEFAULT };
    if (!settle_address(router, arena, recipient, &found, error))
        return false;
    route->address = found.address;
    route->is_bad = found.is_bad || (str_starts_with(found.address, STR("-")) &&
                                     !router->settings.may_start_with_dash);
    if (found.is_bad)
        return true;
    if (!find_class(router, &found, &route->address_class, error) ||
        !choose_target(router, arena, sender, route, error) ||
        !choose_nexthop(router, arena, sender, route, error) ||
        !apply_transport_maps(router, arena, route, error) ||
        !apply_relocated_maps(router, arena, route, error))
        return false;
    if (route->is_bad) {
        route->transport = STR("error");
        route->nexthop = STR("5.1.3 bad address syntax");
    }
    return true;
}

void route_through_filter(const struct router *router, struct arena *arena, struct str filter,
                          struct route *route)
{
    struct target target = target_parse(arena, filter);

    route->transport = target.transport;
    route->nexthop = target.nexthop;
    if (route->nexthop.len == 0)
        route->nexthop = router->settings.default_filter_nexthop;
    if (route->nexthop.len == 0)
        route->nexthop = address_domain(route->address);
}
