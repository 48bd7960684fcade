/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/route.h"

#include "base/memory.h"
#include "mail/address.h"
#include "table/match_list.h"

/* "transport:nexthop"; without a next hop the recipient's domain is it. */
struct target {
    struct str transport;
    struct str nexthop;
};

enum listed { LISTED_LOCAL, LISTED_VIRTUAL_ALIAS, LISTED_VIRTUAL, LISTED_RELAY, LISTED_COUNT };

struct router {
    struct arena arena;
    struct match_list *lists[LISTED_COUNT];
    struct str list_texts[LISTED_COUNT];
    struct target targets[CLASS_DEFAULT + 1];
    struct str relayhost;
    struct str myorigin;
    struct str empty_address_recipient;
    const struct own_addresses *own_addresses;
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

struct router *router_new(const struct route_settings *settings, struct router *old,
                          void (*warning)(void *argument, const char *text), void *argument,
                          struct error *error)
{
    struct router *router = memory_new(sizeof *router);
    struct arena *arena = &router->arena;
    const struct match_list_options hearers = { .warning = warning, .argument = argument };

    router->relayhost = arena_copy(arena, str_trim(settings->relayhost));
    router->myorigin = arena_copy(arena, settings->myorigin);
    router->empty_address_recipient = arena_copy(arena, settings->empty_address_recipient);
    router->targets[CLASS_LOCAL] = target_parse(arena, settings->local_transport);
    router->targets[CLASS_VIRTUAL_ALIAS] =
        (struct target){ STR("error"), STR("5.1.1 User unknown in virtual alias table") };
    router->targets[CLASS_VIRTUAL] = target_parse(arena, settings->virtual_transport);
    router->targets[CLASS_RELAY] = target_parse(arena, settings->relay_transport);
    router->targets[CLASS_DEFAULT] = target_parse(arena, settings->default_transport);
    router->own_addresses = settings->own_addresses;
    if (!open_lists(router, settings, old, &hearers, error))
        router_free(&router);
    return router;
}

void router_free(struct router **router)
{
    if (*router == NULL)
        return;
    for (int i = 0; i < LISTED_COUNT; i++)
        match_list_free(&(*router)->lists[i]);
    arena_clear(&(*router)->arena);
    memory_free(*router);
    *router = NULL;
}

static bool is_own_literal(const struct router *router, struct str domain)
{
    if (router->own_addresses == NULL || !domain_is_literal(domain))
        return false;
    struct str inside = str_take(str_skip(domain, 1), domain.len - 2);
    if (str_starts_with_fold(inside, STR("IPv6:")))
        inside = str_skip(inside, 5);
    return own_addresses_contain_text(router->own_addresses, inside);
}

/* The first list that has the domain names the class. */
static bool find_class(struct router *router, struct str domain, enum address_class *found,
                       struct error *error)
{
    static const enum address_class classes[LISTED_COUNT] = {
        [LISTED_LOCAL] = CLASS_LOCAL,
        [LISTED_VIRTUAL_ALIAS] = CLASS_VIRTUAL_ALIAS,
        [LISTED_VIRTUAL] = CLASS_VIRTUAL,
        [LISTED_RELAY] = CLASS_RELAY,
    };

    *found = CLASS_LOCAL;
    if (is_own_literal(router, domain))
        return true;
    for (int i = 0; i < LISTED_COUNT; i++) {
        switch (match_list_find_name(router->lists[i], domain, error)) {
        case MATCH_FOUND:
            *found = classes[i];
            return true;
        case MATCH_ABSENT:
            break;
        case MATCH_FAILED:
            return false;
        }
    }
    *found = CLASS_DEFAULT;
    return true;
}

static struct str complete_address(struct router *router, struct arena *arena, struct str recipient)
{
    if (recipient.len == 0)
        recipient = router->empty_address_recipient;
    if (address_has_domain(recipient) && address_domain(recipient).len > 0)
        return recipient;
    if (address_has_domain(recipient))
        recipient = address_local(recipient);
    return str_from(
        arena_printf(arena, "%.*s@%.*s", STR_ARGS(recipient), STR_ARGS(router->myorigin)));
}

bool router_find(struct router *router, struct arena *arena, struct str recipient,
                 struct route *route, struct error *error)
{
    route->address = complete_address(router, arena, recipient);
    struct str domain = address_domain(route->address);

    if (!find_class(router, domain, &route->address_class, error))
        return false;
    const struct target *target = &router->targets[route->address_class];
    bool is_off_host = route->address_class == CLASS_RELAY || route->address_class == CLASS_DEFAULT;
    route->transport = target->transport;
    route->nexthop = target->nexthop;
    if (route->nexthop.len == 0)
        route->nexthop = is_off_host && router->relayhost.len > 0 ? router->relayhost : domain;
    return true;
}

void route_through_filter(struct route *route, struct arena *arena, struct str filter)
{
    struct target target = target_parse(arena, filter);

    route->transport = target.transport;
    route->nexthop = target.nexthop.len > 0 ? target.nexthop : address_domain(route->address);
}
