/* SPDX-License-Identifier: Apache-2.0 */
/* Header checks that match more than they were written for: every header goes through them, the
 * Received: line that we write ourselves too. */
#include "check.h"

static bool find(struct table *table, struct arena *arena, const char *header, struct str *action)
{
    struct error ignored;

    return table_find(table, str_from(header), arena, action, &ignored) == LOOKUP_FOUND;
}

static void check_own_received(struct check *check, const struct check_setting *setting,
                               struct table *table)
{
    autoclear_arena struct arena scratch = { 0 };
    struct str name = check->config->myhostname, action;
    const char *local = arena_printf(&scratch,
                                     "Received: from localhost (localhost [127.0.0.1])\n\tby %.*s "
                                     "(Postfix) with ESMTP id 4Zkbh12xYzz1\n\tfor "
                                     "<someone@example.com>; Sun, 29 Nov 2026 00:00:00 +0000 (UTC)",
                                     STR_ARGS(name));

    if (!find(table, &scratch, local, &action) || !str_starts_with_fold(action, STR("IGNORE")))
        return;
    check_find(check, CHECK_WARNING, "received-removed", setting->place,
               arena_printf(&check->arena,
                            "%.*s: %.*s removes the Received: line that is written here for mail "
                            "from this machine, and any other header that matches, such as a "
                            "Subject: with that word",
                            STR_ARGS(setting->name), STR_ARGS(table_specification(table))),
               "begin the pattern with the one header that is meant, as in \"/^X-Originating-IP:"
               ".*localhost/\"");
}

/* RFC 5322, section 2.2: a name of printable characters, and a colon. */
static bool is_header(struct str text)
{
    ptrdiff_t colon = str_find_byte(text, ':');

    if (colon <= 0)
        return false;
    for (ptrdiff_t i = 0; i < colon; i++)
        if (!ascii_is_print(text.ptr[i]) || text.ptr[i] == ' ')
            return false;
    return true;
}

/* What REPLACE puts in a header's place must be a header. Tried with a line that such rules are
 * written for: one from a host of the domain. */
static void check_replacement(struct check *check, const struct check_setting *setting,
                              struct table *table)
{
    static const char *const hosts[] = { "sso-api-01", "mail", "www", "app" };
    autoclear_arena struct arena scratch = { 0 };
    struct str action;

    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        const char *line = arena_printf(
            &scratch, "Received: from %s.%.*s (%s.%.*s [192.0.2.1])\n\tby relay", hosts[i],
            STR_ARGS(check->config->mydomain), hosts[i], STR_ARGS(check->config->mydomain));
        if (!find(table, &scratch, line, &action) || !str_starts_with_fold(action, STR("REPLACE")))
            continue;
        struct str text = str_trim(str_skip(action, 7));
        if (is_header(text))
            continue;
        check_find(check, CHECK_WARNING, "replacement-no-header", setting->place,
                   arena_printf(&check->arena,
                                "%.*s: %.*s replaces a Received: line by \"%.*s\", which is no "
                                "header",
                                STR_ARGS(setting->name), STR_ARGS(table_specification(table)),
                                STR_ARGS(str_take(text, 60))),
                   "begin it with \"Received: \" or \"${1}\" (a shell eats ${1} in \"cat << EOF\", "
                   "not in \"cat << 'EOF'\")");
        return;
    }
}

static void check_table(struct check *check, const struct check_setting *setting,
                        struct table *table)
{
    check_own_received(check, setting, table);
    check_replacement(check, setting, table);
}

static void check_value(struct check *check, const struct check_setting *setting)
{
    check_each_table(check, setting, check_table);
}

void check_headers(struct check *check)
{
    check_each(check, "header_checks", check_value);
}
