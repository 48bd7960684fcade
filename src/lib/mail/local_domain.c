/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/local_domain.h"

#include "base/memory.h"
#include "mail/address.h"

struct local_domains {
    struct match_list *mydestination;
    const struct own_addresses *own;
    struct str myorigin;
};

struct local_domains *local_domains_new(const struct config *config,
                                        const struct own_addresses *own,
                                        const struct match_list_options *hearer,
                                        struct error *error)
{
    struct local_domains *domains = memory_new(sizeof *domains);
    struct match_list_options options = *hearer;

    options.name = STR("mydestination");
    options.matches_parent_domains = false;
    domains->own = own;
    domains->myorigin = config->myorigin;
    domains->mydestination = match_list_new(config->mydestination, &options, error);
    if (domains->mydestination == NULL)
        local_domains_free(&domains);
    return domains;
}

void local_domains_free(struct local_domains **domains)
{
    if (*domains == NULL)
        return;
    match_list_free(&(*domains)->mydestination);
    memory_free(*domains);
    *domains = NULL;
}

bool literal_is_own(const struct own_addresses *own, struct str domain)
{
    if (own == NULL || !domain_is_literal(domain))
        return false;
    struct str inside = str_take(str_skip(domain, 1), domain.len - 2);
    if (str_starts_with_fold(inside, STR("IPv6:")))
        inside = str_skip(inside, 5);
    return own_addresses_contain_text(own, inside);
}

enum match_outcome local_domains_find(const struct local_domains *domains, struct str domain,
                                      struct error *error)
{
    if (literal_is_own(domains->own, domain))
        return MATCH_FOUND;
    return match_list_find_name(domains->mydestination, domain, error);
}

enum match_outcome local_domains_find_origin(const struct local_domains *domains, struct str domain,
                                             struct error *error)
{
    if (str_equal_fold(domain, domains->myorigin))
        return MATCH_FOUND;
    return local_domains_find(domains, domain, error);
}
