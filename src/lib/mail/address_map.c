/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address_map.h"

#include "mail/address.h"
#include "mail/address_list.h"

/* One look-up while its keys are tried. */
struct search {
    const struct address_map_rules *rules;
    struct table_list *tables;
    struct arena *arena;
    struct str address, local, domain;
    struct str user, extension; /* where has_extension */
    bool has_domain, has_extension;
    struct address_match *match;
    struct error *error;
};

static enum lookup_outcome ask(struct search *search, struct str key, enum key_kind kind)
{
    return table_list_find(search->tables, key, kind, search->arena, &search->match->value,
                           search->error);
}

/* A key that is an address or a user part of one. */
static enum lookup_outcome ask_address(struct search *search, struct str key, enum key_kind kind)
{
    autofree_buf struct buf external = { 0 };

    address_format(key, &external);
    enum lookup_outcome outcome = ask(search, buf_str(&external), kind);
    if (outcome != LOOKUP_ABSENT || str_equal(buf_str(&external), key))
        return outcome;
    return ask(search, key, kind);
}

static enum lookup_outcome ask_shortened(struct search *search, struct str key)
{
    enum lookup_outcome outcome = ask_address(search, key, KEY_PART);

    if (outcome == LOOKUP_FOUND)
        search->match->extension = search->extension;
    return outcome;
}

static enum lookup_outcome ask_users(struct search *search)
{
    const struct address_map_rules *rules = search->rules;

    if (rules->is_local == NULL || !search->has_domain)
        return LOOKUP_ABSENT;
    switch (rules->is_local(rules->argument, search->domain, search->error)) {
    case MATCH_ABSENT:
        return LOOKUP_ABSENT;
    case MATCH_FAILED:
        return LOOKUP_FAILED;
    case MATCH_FOUND:
        break;
    }
    enum lookup_outcome outcome = ask_address(search, search->local, KEY_PART);
    if (outcome == LOOKUP_ABSENT && search->has_extension)
        outcome = ask_shortened(search, search->user);
    return outcome;
}

/* "example" of "mail.example", and so on; with the dot in front where `has_dot`. */
static enum lookup_outcome ask_parents(struct search *search, bool has_dot)
{
    struct str rest = search->domain;
    ptrdiff_t dot;

    if (domain_is_literal(rest))
        return LOOKUP_ABSENT;
    while (rest.len > 1 && (dot = str_find_byte(str_skip(rest, 1), '.')) >= 0) {
        rest = str_skip(rest, (size_t)dot + 1);
        enum lookup_outcome outcome = ask(search, has_dot ? rest : str_skip(rest, 1), KEY_PART);
        if (outcome != LOOKUP_ABSENT)
            return outcome;
    }
    return LOOKUP_ABSENT;
}

static enum lookup_outcome ask_domain(struct search *search, unsigned keys)
{
    enum lookup_outcome outcome = LOOKUP_ABSENT;

    if (!search->has_domain)
        return LOOKUP_ABSENT;
    if (keys & ADDRESS_KEY_AT_DOMAIN)
        outcome = ask(search, address_join(search->arena, STR(""), search->domain), KEY_PART);
    if (outcome == LOOKUP_ABSENT && (keys & ADDRESS_KEY_DOMAIN))
        outcome = ask(search, search->domain, KEY_PART);
    if (outcome == LOOKUP_ABSENT && (keys & (ADDRESS_KEY_DOT_PARENTS | ADDRESS_KEY_PARENTS)))
        outcome = ask_parents(search, (keys & ADDRESS_KEY_DOT_PARENTS) != 0);
    search->match->is_user_missing = outcome == LOOKUP_FOUND;
    return outcome;
}

enum lookup_outcome address_map_find(const struct address_map_rules *rules,
                                     struct table_list *tables, struct str address, unsigned keys,
                                     struct arena *arena, struct address_match *match,
                                     struct error *error)
{
    struct search search = {
        .rules = rules,
        .tables = tables,
        .arena = arena,
        .address = address,
        .local = address_local(address),
        .domain = address_domain(address),
        .has_domain = address_has_domain(address),
        .match = match,
        .error = error,
    };
    enum lookup_outcome outcome = LOOKUP_ABSENT;

    *match = (struct address_match){ .value = STR(""), .extension = STR("") };
    if (table_list_is_empty(tables))
        return LOOKUP_ABSENT;
    search.has_extension =
        extension_split(search.local, &rules->extensions, &search.user, &search.extension);
    if (keys & ADDRESS_KEY_WHOLE)
        outcome = ask_address(&search, address, KEY_WHOLE);
    if (outcome == LOOKUP_ABSENT && search.has_extension && (keys & ADDRESS_KEY_WITHOUT_EXTENSION))
        outcome = ask_shortened(&search, search.has_domain
                                             ? address_join(arena, search.user, search.domain)
                                             : search.user);
    if (outcome == LOOKUP_ABSENT && (keys & ADDRESS_KEY_USER_IF_LOCAL))
        outcome = ask_users(&search);
    if (outcome == LOOKUP_ABSENT)
        outcome = ask_domain(&search, keys);
    return outcome;
}

/* ---- values ---- */

static struct str with_extension(struct arena *arena, struct str address, struct str extension)
{
    if (extension.len == 0)
        return address;
    struct str local = address_local(address);
    char *text = arena_new(arena, address.len + extension.len + 1);

    memcpy(text, local.ptr, local.len);
    memcpy(text + local.len, extension.ptr, extension.len);
    memcpy(text + local.len + extension.len, address.ptr + local.len, address.len - local.len);
    return str_of(text, address.len + extension.len);
}

static void read_addresses(const struct address_map_rules *rules, struct str value,
                           struct str extension, struct arena *arena,
                           struct address_results *results)
{
    struct address_list list;
    struct list_item *item;

    address_list_parse(arena, value, &list);
    results->addresses = arena_new_array(arena, list.address_count + 1, sizeof *results->addresses);
    for (size_t at = 0; (item = address_list_next(&list, &at)) != NULL;) {
        /* The extension goes to what was written, before a domain is added: as in Postfix. */
        struct str address = with_extension(arena, item->address, extension);
        results->addresses[results->count++] = rewrite_address(arena, &rules->rewrite, address);
    }
}

enum lookup_outcome address_map_apply(const struct address_map_rules *rules,
                                      struct table_list *tables, struct str address,
                                      bool propagates_extension, struct arena *arena,
                                      struct address_results *results, struct error *error)
{
    struct address_match match;
    enum lookup_outcome outcome =
        address_map_find(rules, tables, address, ADDRESS_KEYS_USUAL, arena, &match, error);

    results->count = 0;
    if (outcome != LOOKUP_FOUND)
        return outcome;
    struct str value = str_trim(match.value);
    if (value.len > 1 && value.ptr[0] == '@') {
        /* The user as it is, with its extension. */
        results->addresses = arena_new(arena, sizeof *results->addresses);
        results->addresses[0] =
            rewrite_address(arena, &rules->rewrite,
                            address_join(arena, address_local(address), str_skip(value, 1)));
        results->count = 1;
        return LOOKUP_FOUND;
    }
    read_addresses(rules, value, propagates_extension ? match.extension : STR(""), arena, results);
    if (results->count > 0)
        return LOOKUP_FOUND;
    error_set(error, "%.*s lookup of %.*s returns non-address result \"%.*s\"",
              STR_ARGS(table_list_name(tables)), STR_ARGS(str_take(address, 100)),
              STR_ARGS(str_take(value, 100)));
    return LOOKUP_FAILED;
}
