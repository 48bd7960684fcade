/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/flush_domains.h"

#include "mail/address.h"

struct match_list *flush_domains_new(const struct config *config,
                                     void (*warning)(void *argument, const char *text),
                                     void *argument, struct error *error)
{
    struct match_list_options options = { .name = STR("fast_flush_domains"),
                                          .warning = warning,
                                          .argument = argument };

    options.matches_parent_domains =
        str_list_has(config->parent_domain_matches_subdomains, options.name);
    return match_list_new(config->fast_flush_domains, &options, error);
}

bool flush_site_is_valid(struct str site)
{
    if (domain_is_literal(site))
        return domain_literal_is_valid(site);
    return domain_is_valid(site, false) && !str_ends_with(site, STR("."));
}
