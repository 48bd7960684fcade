/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/extension.h"

#include <string.h>

static bool is_system_name(struct str local)
{
    static const char *const names[] = { "postmaster", "mailer-daemon", "double-bounce" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_equal_fold(local, str_from(names[i])))
            return true;
    return false;
}

static bool is_list_name(struct str local)
{
    return str_starts_with_fold(local, STR("owner-")) || str_ends_with_fold(local, STR("-request"));
}

bool extension_split(struct str local, const struct extension_rules *rules, struct str *user,
                     struct str *extension)
{
    size_t at = 0;

    if (rules->delimiters.len == 0 || is_system_name(local))
        return false;
    if (!rules->splits_owner_names && str_find_byte(rules->delimiters, '-') >= 0 &&
        is_list_name(local))
        return false;
    while (at < local.len && str_find_byte(rules->delimiters, local.ptr[at]) < 0)
        at++;
    if (at == 0 || at == local.len)
        return false;
    *user = str_take(local, at);
    *extension = str_skip(local, at);
    return true;
}
