/* SPDX-License-Identifier: Apache-2.0 */
#include "access.h"
#include "mail/address.h"
#include "mail/extension.h"
#include "refusal.h"
#include "restrictions_inside.h"

/* Parts of what was asked for are no keys of pattern tables. */
static bool look_up(struct check *check, struct access *access, struct str key, bool is_part)
{
    struct str value = STR("");

    if (is_part && !lookup_map_has_parts(access->map))
        return false;
    switch (lookup_map_find(access->map, check->scratch, key, &value)) {
    case LOOKUP_ABSENT:
        return false;
    case LOOKUP_FOUND:
        break;
    case LOOKUP_FAILED:
        access->outcome =
            refuse_for_failure(check, "4.3.5",
                               refusal_text(check, access->reply_name, access->reply_class,
                                            "Server configuration error"));
        return true;
    }
    access->outcome = access_act(check, access, value, key);
    return true;
}

bool access_find_key(struct check *check, struct access *access, struct str key)
{
    return look_up(check, access, key, false);
}

/* The domain as a whole or in part, then its parents: "example.com" where parents match their
 * subdomains, else ".example.com". */
static bool find_domain(struct check *check, struct access *access, struct str domain, bool is_part)
{
    bool has_parents = check->restrictions->access_has_parents;

    for (;;) {
        if (look_up(check, access, domain, is_part))
            return true;
        ptrdiff_t dot = str_find_byte(str_skip(domain, 1), '.');
        if (dot < 0)
            return false;
        domain = str_skip(domain, (size_t)dot + (has_parents ? 2 : 1));
        is_part = true;
    }
}

static struct str lower_case(struct check *check, struct str text)
{
    char *copy = arena_new(check->scratch, text.len + 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(text.ptr[i]);
    return str_of(copy, text.len);
}

bool access_find_domain(struct check *check, struct access *access, struct str domain)
{
    return find_domain(check, access, lower_case(check, domain), false);
}

bool access_find_address(struct check *check, struct access *access, struct str address)
{
    char separator = str_find_byte(address, ':') >= 0 ? ':' : '.';
    bool is_part = false;

    for (;;) {
        if (look_up(check, access, address, is_part))
            return true;
        ptrdiff_t end = str_find_last_byte(address, separator);
        if (end < 0)
            return false;
        address = str_take(address, (size_t)end);
        is_part = true;
    }
}

bool access_find_mail(struct check *check, struct access *access, struct str address)
{
    const struct config *config = check_config(check);
    struct extension_rules rules = { config->recipient_delimiter, !config->owner_request_special };
    struct str bare = STR(""), user, extension;

    if (!address_has_domain(address))
        return false;
    if (extension_split(address_local(address), &rules, &user, &extension))
        bare = address_join(check->scratch, user, address_domain(address));
    if (look_up(check, access, address, false) || look_up(check, access, bare, true) ||
        find_domain(check, access, lower_case(check, address_domain(address)), true))
        return true;
    struct str local = str_take(address, address_local(address).len + 1); /* with its '@' */
    if (look_up(check, access, local, true))
        return true;
    return bare.len > 0 &&
           look_up(check, access, str_take(bare, address_local(bare).len + 1), true);
}
