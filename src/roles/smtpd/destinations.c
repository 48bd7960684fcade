/* SPDX-License-Identifier: Apache-2.0 */
#include "destinations.h"

#include "base/memory.h"
#include "mail/address.h"
#include "table/match_list.h"

enum { LIST_COUNT = 4 };

struct destinations {
    const struct own_addresses *own;
    bool may_route; /* allow_untrusted_routing */
    struct match_list *lists[LIST_COUNT];
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
    } parameters[LIST_COUNT] = {
        { STR("mydestination"), config->mydestination },
        { STR("virtual_alias_domains"), config->virtual_alias_domains },
        { STR("virtual_mailbox_domains"), config->virtual_mailbox_domains },
        { STR("relay_domains"), config->relay_domains },
    };

    destinations->own = own;
    destinations->may_route = config->allow_untrusted_routing;
    for (size_t i = 0; i < LIST_COUNT; i++) {
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
    for (size_t i = 0; i < LIST_COUNT; i++)
        match_list_free(&(*destinations)->lists[i]);
    memory_free(*destinations);
    *destinations = NULL;
}

enum destination destinations_find(const struct destinations *destinations, struct str recipient,
                                   struct error *error)
{
    struct str domain = address_domain(recipient);

    /* Whoever gets it next might send it on to the domain inside, with our authority. */
    if (address_is_routed(recipient) && !destinations->may_route)
        return DESTINATION_FOREIGN;
    if (!address_has_domain(recipient))
        return DESTINATION_AUTHORISED;
    if (domain_is_literal(domain))
        return own_addresses_contain_text(destinations->own, domain) ? DESTINATION_AUTHORISED
                                                                     : DESTINATION_FOREIGN;
    for (size_t i = 0; i < LIST_COUNT; i++) {
        switch (match_list_find_name(destinations->lists[i], domain, error)) {
        case MATCH_FOUND:
            return DESTINATION_AUTHORISED;
        case MATCH_FAILED:
            return DESTINATION_UNKNOWN;
        case MATCH_ABSENT:
            break;
        }
    }
    return DESTINATION_FOREIGN;
}
