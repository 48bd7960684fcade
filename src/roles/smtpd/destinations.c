/* SPDX-License-Identifier: Apache-2.0 */
#include "destinations.h"

#include "base/memory.h"
#include "mail/address.h"
#include "table/match_list.h"

enum { DOMAIN_LIST_COUNT = 4 };

struct destinations {
    const struct own_addresses *own;
    bool may_route; /* allow_untrusted_routing */
    struct match_list *lists[DOMAIN_LIST_COUNT];
};

bool destinations_match_parents(const struct config *config, struct str name)
{
    struct str words = config->parent_domain_matches_subdomains;
    struct str word;

    while (str_next_word(&words, ", \t\r\n", &word)) {
        if (str_equal_fold(word, name))
            return true;
    }
    return false;
}

struct destinations *destinations_new(const struct config *config, const struct own_addresses *own,
                                      void (*warning)(void *argument, const char *text),
                                      void *argument, struct error *error)
{
    struct destinations *destinations = memory_new(sizeof(*destinations));
    const struct {
        struct str name, value;
    } parameters[DOMAIN_LIST_COUNT] = {
        { STR("mydestination"), config->mydestination },
        { STR("virtual_alias_domains"), config->virtual_alias_domains },
        { STR("virtual_mailbox_domains"), config->virtual_mailbox_domains },
        { STR("relay_domains"), config->relay_domains },
    };

    destinations->own = own;
    destinations->may_route = config->allow_untrusted_routing;
    for (size_t i = 0; i < DOMAIN_LIST_COUNT; i++) {
        struct match_list_options options = {
            .name = parameters[i].name,
            .matches_parent_domains = destinations_match_parents(config, parameters[i].name),
            .warning = warning,
            .argument = argument,
        };
        destinations->lists[i] = match_list_new(parameters[i].value, &options, error);
        if (destinations->lists[i] == NULL) {
            destinations_free(&destinations);
            return NULL;
        }
    }
    return destinations;
}

void destinations_free(struct destinations **destinations)
{
    if (*destinations == NULL)
        return;
    for (size_t i = 0; i < DOMAIN_LIST_COUNT; i++)
        match_list_free(&(*destinations)->lists[i]);
    memory_free(*destinations);
    *destinations = NULL;
}

bool destinations_find_kind(const struct destinations *destinations, struct str address,
                            enum address_kind *kind, struct error *error)
{
    static const enum address_kind kinds[DOMAIN_LIST_COUNT] = {
        ADDRESS_LOCAL, ADDRESS_VIRTUAL_ALIAS, ADDRESS_VIRTUAL_MAILBOX, ADDRESS_RELAY
    };
    struct str domain = address_domain(address);

    *kind = ADDRESS_LOCAL;
    if (str_is_empty(domain) ||
        (domain_is_literal(domain) && own_addresses_contain_text(destinations->own, domain)))
        return true;
    for (size_t i = 0; i < DOMAIN_LIST_COUNT; i++) {
        *kind = kinds[i];
        switch (match_list_find_name(destinations->lists[i], domain, error)) {
        case MATCH_FOUND:
            return true;
        case MATCH_FAILED:
            return false;
        case MATCH_ABSENT:
            break;
        }
    }
    *kind = ADDRESS_ELSEWHERE;
    return true;
}

enum destination destinations_find(const struct destinations *destinations, struct str recipient,
                                   struct error *error)
{
    enum address_kind kind;

    /* Whoever gets it next might send it on to the domain inside, with our authority. */
    if (address_is_routed(recipient) && !destinations->may_route)
        return DESTINATION_FOREIGN;
    if (!destinations_find_kind(destinations, recipient, &kind, error))
        return DESTINATION_UNKNOWN;
    return kind == ADDRESS_ELSEWHERE ? DESTINATION_FOREIGN : DESTINATION_AUTHORISED;
}
