/* SPDX-License-Identifier: Apache-2.0 */
#include "recipient_maps.h"

#include "base/ensure.h"
#include "base/memory.h"
#include "mail/address.h"
#include "mail/address_map.h"

/* Addresses that any of these rewrites exist, whatever their class. */
enum { REWRITING_COUNT = 4 };

struct recipient_maps {
    const struct config *config;
    const struct destinations *destinations;
    struct address_map_rules rules;
    struct table_list *rewriting[REWRITING_COUNT];
    struct table_list *relocated;
    struct table_list *local, *relay, *virtual_mailbox;
    struct table_list *logins;
};

/* In whose domains a bare user as key stands for an address. */
static enum match_outcome is_local(const void *argument, struct str domain, struct error *error)
{
    const struct recipient_maps *maps = argument;
    autoclear_arena struct arena scratch = { 0 };
    enum address_kind kind;

    if (str_equal_fold(domain, maps->config->myorigin))
        return MATCH_FOUND;
    if (!destinations_find_kind(maps->destinations, address_join(&scratch, STR("x"), domain), &kind,
                                error))
        return MATCH_FAILED;
    return kind == ADDRESS_LOCAL ? MATCH_FOUND : MATCH_ABSENT;
}

struct recipient_maps *recipient_maps_new(const struct config *config,
                                          const struct destinations *destinations,
                                          void (*warning)(void *argument, const char *text),
                                          void *argument)
{
    struct recipient_maps *made = memory_new(sizeof *made);
    struct table_options options = { .warning = warning,
                                     .argument = argument,
                                     .warns_of_failures = true };
    const struct {
        struct table_list **list;
        struct str name, text;
    } rows[] = {
#define ROW(parameter, member) { &made->member, STR(#parameter), config->parameter }
        ROW(recipient_canonical_maps, rewriting[0]),
        ROW(sender_canonical_maps, rewriting[1]),
        ROW(canonical_maps, rewriting[2]),
        ROW(virtual_alias_maps, rewriting[3]),
        ROW(relocated_maps, relocated),
        ROW(local_recipient_maps, local),
        ROW(relay_recipient_maps, relay),
        ROW(virtual_mailbox_maps, virtual_mailbox),
        ROW(smtpd_sender_login_maps, logins),
#undef ROW
    };

    made->config = config;
    made->destinations = destinations;
    made->rules = (struct address_map_rules){
        .extensions = { config->recipient_delimiter, !config->owner_request_special },
        .is_local = is_local,
        .argument = made,
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        *rows[i].list = table_list_new(rows[i].name, rows[i].text, &options, NULL);
    return made;
}

void recipient_maps_free(struct recipient_maps **maps)
{
    struct recipient_maps *gone = *maps;

    if (gone == NULL)
        return;
    for (size_t i = 0; i < REWRITING_COUNT; i++)
        table_list_free(&gone->rewriting[i]);
    table_list_free(&gone->relocated);
    table_list_free(&gone->local);
    table_list_free(&gone->relay);
    table_list_free(&gone->virtual_mailbox);
    table_list_free(&gone->logins);
    memory_free(gone);
    *maps = NULL;
}

static enum lookup_outcome find(const struct recipient_maps *maps, struct table_list *tables,
                                struct arena *arena, struct str address, struct str *value)
{
    struct address_match match;
    struct error error;
    enum lookup_outcome outcome =
        address_map_find(&maps->rules, tables, address, ADDRESS_KEYS_USUAL, arena, &match, &error);

    *value = match.value;
    return outcome;
}

/* The class's table says whether there is such a user. */
static enum listing find_user(const struct recipient_maps *maps, struct table_list *tables,
                              struct arena *arena, struct str address)
{
    struct str value;

    switch (find(maps, tables, arena, address, &value)) {
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
        return !table_list_is_empty(maps->local) ? find_user(maps, maps->local, arena, address)
                                                 : LISTING_KNOWN;
    case ADDRESS_VIRTUAL_ALIAS: /* it is not in virtual_alias_maps, or we were not here */
        listed->code = (unsigned)config->unknown_virtual_alias_reject_code;
        listed->table = STR(" in virtual alias table");
        return LISTING_UNKNOWN;
    case ADDRESS_VIRTUAL_MAILBOX:
        listed->code = (unsigned)config->unknown_virtual_mailbox_reject_code;
        listed->table = STR(" in virtual mailbox table");
        return !table_list_is_empty(maps->virtual_mailbox)
                   ? find_user(maps, maps->virtual_mailbox, arena, address)
                   : LISTING_KNOWN;
    case ADDRESS_RELAY:
        listed->code = (unsigned)config->unknown_relay_recipient_reject_code;
        listed->table = STR(" in relay recipient table");
        return !table_list_is_empty(maps->relay) ? find_user(maps, maps->relay, arena, address)
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
        enum lookup_outcome outcome = find(maps, maps->rewriting[i], arena, address, &value);
        if (outcome != LOOKUP_ABSENT)
            return outcome == LOOKUP_FOUND ? LISTING_KNOWN : LISTING_FAILED;
    }
    switch (find(maps, maps->relocated, arena, address, &listed->moved_to)) {
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
    return find(maps, maps->logins, arena, sender, owners);
}
