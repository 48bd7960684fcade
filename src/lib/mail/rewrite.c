/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/rewrite.h"

#include "mail/address.h"

/* host!user -> user@host, user%host -> user@host; both only where there is no '@'. */
static struct str route_to_domain(struct arena *arena, const struct rewrite_rules *rules,
                                  struct str address)
{
    ptrdiff_t bang = str_find_byte(address, '!');
    ptrdiff_t percent = str_find_last_byte(address, '%');

    if (rules->may_swap_bangpath && bang >= 0)
        return address_join(arena, str_skip(address, (size_t)bang + 1),
                            str_take(address, (size_t)bang));
    if (rules->has_percent_hack && percent >= 0)
        return address_join(arena, str_take(address, (size_t)percent),
                            str_skip(address, (size_t)percent + 1));
    return address;
}

static struct str add_parent(struct arena *arena, struct str address, struct str parent)
{
    char *text = arena_new(arena, address.len + parent.len + 2);

    memcpy(text, address.ptr, address.len);
    text[address.len] = '.';
    memcpy(text + address.len + 1, parent.ptr, parent.len);
    return str_of(text, address.len + 1 + parent.len);
}

struct str rewrite_as_written(struct arena *arena, const struct rewrite_rules *rules,
                              struct str address)
{
    if (str_is_empty(address))
        return address;
    if (!address_has_domain(address))
        address = route_to_domain(arena, rules, address);
    if (!address_has_domain(address)) {
        if (!rules->may_append_myorigin || str_is_empty(rules->myorigin))
            return address;
        address = address_join(arena, address, rules->myorigin);
    }
    struct str domain = address_domain(address);
    if (rules->may_append_mydomain && !str_is_empty(domain) && !domain_is_literal(domain) &&
        str_find_byte(domain, '.') < 0 && !str_is_empty(rules->mydomain))
        address = add_parent(arena, address, rules->mydomain);
    return address;
}

struct str rewrite_address(struct arena *arena, const struct rewrite_rules *rules,
                           struct str address)
{
    return address_normalise(arena, rewrite_as_written(arena, rules, address));
}

struct rewrite_rules rewrite_rules_from(const struct config *config)
{
    return (struct rewrite_rules){
        .myorigin = config->myorigin,
        .mydomain = config->mydomain,
        .may_append_myorigin = config->append_at_myorigin,
        .may_append_mydomain = config->append_dot_mydomain,
        .may_swap_bangpath = config->swap_bangpath,
        .has_percent_hack = config->allow_percent_hack,
    };
}
