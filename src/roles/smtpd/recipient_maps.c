/* SPDX-License-Identifier: Apache-2.0 */
#include "recipient_maps.h"

#include "base/ensure.h"
#include "base/memory.h"
#include "mail/address.h"

/* Addresses that any of these rewrites exist, whatever their class. */
enum { REWRITING_COUNT = 4 };

struct recipient_maps {
    const struct config *config;
    const struct destinations *destinations;
    struct lookup_chain rewriting[REWRITING_COUNT];
    struct lookup_chain relocated;
    struct lookup_chain local, relay, virtual_mailbox;
    struct lookup_chain logins;
    struct arena arena;
};

struct recipient_maps *recipient_maps_new(const struct config *config,
                                          const struct destinations *destinations,
                                          struct lookup_maps *maps)
{
    struct recipient_maps *made = memory_new(sizeof *made);
    const struct {
        struct lookup_chain *chain;
        struct str text;
    } chains[] = {
        { &made->rewriting[0], config->recipient_canonical_maps },
        { &made->rewriting[1], config->sender_canonical_maps },
        { &made->rewriting[2], config->canonical_maps },
        { &made->rewriting[3], config->virtual_alias_maps },
        { &made->relocated, config->relocated_maps },
        { &made->local, config->local_recipient_maps },
        { &made->relay, config->relay_recipient_maps },
        { &made->virtual_mailbox, config->virtual_mailbox_maps },
        { &made->logins, config->smtpd_sender_login_maps },
    };

    made->config = config;
    made->destinations = destinations;
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++)
        lookup_chain_open(chains[i].chain, &made->arena, maps, chains[i].text);
    return made;
}

void recipient_maps_free(struct recipient_maps **maps)
{
    if (*maps == NULL)
        return;
    arena_clear(&(*maps)->arena);
    memory_free(*maps);
    *maps = NULL;
}

static enum lookup_outcome find(const struct recipient_maps *maps, const struct lookup_chain *chain,
                                struct arena *arena, struct str address, struct str *value)
{
    struct error error;
    struct address_rules rules = { .delimiters = maps->config->recipient_delimiter,
                                   .has_owner_request = maps->config->owner_request_special };
    struct str domain = address_domain(address);
    enum address_kind kind;

    if (chain->count == 0)
        return LOOKUP_ABSENT;
    if (!destinations_find_kind(maps->destinations, address, &kind, &error))
        return LOOKUP_FAILED;
    rules.is_local = kind == ADDRESS_LOCAL || str_equal_fold(domain, maps->config->myorigin);
    return lookup_chain_find_address(chain, arena, address, &rules, value);
}

/* The class's table says whether there is such a user. */
static enum listing find_user(const struct recipient_maps *maps, const struct lookup_chain *chain,
                              struct arena *arena, struct str address)
{
    struct str value;

    switch (find(maps, chain, arena, address, &value)) {
    case LOOKUP_FOUND:
        return LISTING_KNOWN;
    case LOOKUP_ABSENT:
        return LISTING_UNKNOWN;
    case LOOKUP_FAILED:
        return LISTING_FAILED;
    }
    unreachable();
}

static enum listing find_in_class(const struct recipient_maps *maps, struct arena *arena,
                                  struct str address, struct listed_address *listed)
{
    const struct config *config = maps->config;
    enum address_kind kind;
    struct error error;

    if (!destinations_find_kind(maps->destinations, address, &kind, &error))
        return LISTING_FAILED;
    switch (kind) {
    case ADDRESS_LOCAL:
        listed->code = (unsigned)config->unknown_local_recipient_reject_code;
        listed->table = STR(" in local recipient table");
        return maps->local.count > 0 ? find_user(maps, &maps->local, arena, address)
                                     : LISTING_KNOWN;
    case ADDRESS_VIRTUAL_ALIAS: /* it is not in virtual_alias_maps, or we were not here */
        listed->code = (unsigned)config->unknown_virtual_alias_reject_code;
        listed->table = STR(" in virtual alias table");
        return LISTING_UNKNOWN;
    case ADDRESS_VIRTUAL_MAILBOX:
        listed->code = (unsigned)config->unknown_virtual_mailbox_reject_code;
        listed->table = STR(" in virtual mailbox table");
        return maps->virtual_mailbox.count > 0
                   ? find_user(maps, &maps->virtual_mailbox, arena, address)
                   : LISTING_KNOWN;
    case ADDRESS_RELAY:
        listed->code = (unsigned)config->unknown_relay_recipient_reject_code;
        listed->table = STR(" in relay recipient table");
        return maps->relay.count > 0 ? find_user(maps, &maps->relay, arena, address)
                                     : LISTING_KNOWN;
    case ADDRESS_ELSEWHERE:
        return LISTING_KNOWN;
    }
    unreachable();
}

enum listing recipient_maps_find(const struct recipient_maps *maps, struct arena *arena,
                                 struct str address, struct listed_address *listed)
{
    struct str value;

    *listed = (struct listed_address){ 0 };
    for (size_t i = 0; i < REWRITING_COUNT; i++) {
        enum lookup_outcome outcome = find(maps, &maps->rewriting[i], arena, address, &value);
        if (outcome != LOOKUP_ABSENT)
            return outcome == LOOKUP_FOUND ? LISTING_KNOWN : LISTING_FAILED;
    }
    switch (find(maps, &maps->relocated, arena, address, &listed->moved_to)) {
    case LOOKUP_FOUND:
        return LISTING_MOVED;
    case LOOKUP_FAILED:
        return LISTING_FAILED;
    case LOOKUP_ABSENT:
        break;
    }
    enum listing listing = find_in_class(maps, arena, address, listed);
    if (!maps->config->show_user_unknown_table_name)
        listed->table = STR("");
    return listing;
}

enum lookup_outcome recipient_maps_find_owners(const struct recipient_maps *maps,
                                               struct arena *arena, struct str sender,
                                               struct str *owners)
{
    return find(maps, &maps->logins, arena, sender, owners);
}
