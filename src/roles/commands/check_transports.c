/* SPDX-License-Identifier: Apache-2.0 */
/* Transports that never get mail because another look-up overrides them, and names of transports
 * that master.cf does not have. */
#include "check.h"

enum { ENTRIES_MAX = 200000, REPORTS_MAX = 5 };

/* ---- a name that is no service ---- */

static bool is_transport(const struct check *check, struct str name)
{
    const struct master_cf *master_cf = &check->source->master_cf;

    return master_cf_find(master_cf, name, SERVICE_UNIX) != NULL ||
           master_cf_find(master_cf, name, SERVICE_FIFO) != NULL;
}

static void check_transport_name(struct check *check, struct str value, struct check_place place,
                                 const char *where)
{
    struct str name = str_trim(value);

    name = str_cut(&name, ": \t");
    if (str_is_empty(name) || str_equal_fold(name, STR("dunno")) || is_transport(check, name))
        return;
    check_find(check, CHECK_ERROR, "unknown-transport", place,
               arena_printf(&check->arena,
                            "%s names the transport \"%.*s\", which master.cf does not have: its "
                            "mail waits",
                            where, STR_ARGS(str_take(name, 100))),
               arena_printf(&check->arena, "add a line \"%.*s unix - - n - - smtp\" to master.cf",
                            STR_ARGS(str_take(name, 100))));
}

static void check_entries(struct check *check, const struct check_setting *setting,
                          struct table *table)
{
    autoclear_arena struct arena scratch = { 0 };
    struct str key = STR(""), value, specification = table_specification(table);
    struct error ignored;
    size_t before = check->count[CHECK_ERROR];

    for (int i = 0; i < ENTRIES_MAX && check->count[CHECK_ERROR] < before + REPORTS_MAX; i++) {
        if (table_next(table, &scratch, &key, &value, &ignored) != LOOKUP_FOUND)
            return;
        check_transport_name(check, value, setting->place,
                             arena_printf(&check->arena, "the entry \"%.*s\" of %.*s",
                                          STR_ARGS(str_take(key, 100)), STR_ARGS(specification)));
    }
}

static void check_named(struct check *check, const struct check_setting *setting)
{
    check_transport_name(check, setting->value, setting->place,
                         arena_printf(&check->arena, "%.*s", STR_ARGS(setting->name)));
}

static void check_table_entries(struct check *check, const struct check_setting *setting)
{
    check_each_table(check, setting, check_entries);
}

/* ---- the entry that matches everybody ---- */

static bool find(struct table *table, struct arena *arena, struct str key, struct str *value)
{
    struct error ignored;

    return table_find(table, key, arena, value, &ignored) == LOOKUP_FOUND;
}

/* Whether the domain has an entry of its own, which is asked before "*". */
static bool has_own_entry(struct table *table, struct str domain)
{
    autoclear_arena struct arena scratch = { 0 };
    struct str value, address;

    address = str_from(arena_printf(&scratch, "postmaster@%.*s", STR_ARGS(domain)));
    return find(table, &scratch, domain, &value) || find(table, &scratch, address, &value);
}

static void find_shadowed(struct check *check, const struct check_setting *setting,
                          struct str specification, struct str transport, const char *shadowed)
{
    struct check_setting other = check_setting_of(check, shadowed);

    if (str_is_empty(other.value))
        return;
    check_find(check, CHECK_WARNING, "shadowed-transport", other.place,
               arena_printf(&check->arena,
                            "%s never decides, because the entry \"*\" of %.*s (transport_maps) is "
                            "asked after it and matches every recipient",
                            shadowed, STR_ARGS(specification)),
               arena_printf(&check->arena,
                            "remove that entry, run \"postmap %.*s\" and write "
                            "\"default_transport = %.*s\" in main.cf instead",
                            STR_ARGS(specification), STR_ARGS(transport)));
    (void)setting;
}

static void check_local_domains(struct check *check, const struct check_setting *setting,
                                struct table *table, struct str transport)
{
    struct str rest = check->config->mydestination, domain;

    while (str_next_word(&rest, ", \t\r\n", &domain)) {
        if (domain.ptr[0] == '/' || table_is_specification(domain) || domain.ptr[0] == '!' ||
            has_own_entry(table, domain))
            continue;
        check_find(check, CHECK_WARNING, "captured-local-mail", setting->place,
                   arena_printf(&check->arena,
                                "mail for users of this machine (%.*s) goes out by %.*s and comes "
                                "back as \"mail for %.*s loops back to myself\", because the entry "
                                "\"*\" of %.*s matches it too",
                                STR_ARGS(domain), STR_ARGS(transport), STR_ARGS(domain),
                                STR_ARGS(table_specification(table))),
                   arena_printf(&check->arena,
                                "write \"default_transport = %.*s\" in main.cf instead of that "
                                "entry, or add \"%.*s local:\" to the table",
                                STR_ARGS(transport), STR_ARGS(domain)));
        return;
    }
}

static void check_everybody(struct check *check, const struct check_setting *setting,
                            struct table *table)
{
    autoclear_arena struct arena scratch = { 0 };
    struct str value;

    /* A table of patterns is asked for whole addresses alone. */
    if (!table_takes_parts(table) || !find(table, &scratch, STR("*"), &value))
        return;
    struct str rest = value, transport = str_cut(&rest, ":");
    if (str_is_empty(transport)) /* ":nexthop": the transport stays as it was */
        return;
    transport = arena_copy(&check->arena, transport);
    struct str specification = arena_copy(&check->arena, table_specification(table));
    find_shadowed(check, setting, specification, transport,
                  "sender_dependent_default_transport_maps");
    find_shadowed(check, setting, specification, transport, "sender_dependent_relayhost_maps");
    find_shadowed(check, setting, specification, transport, "relayhost");
    check_local_domains(check, setting, table, transport);
}

static void check_maps(struct check *check, const struct check_setting *setting)
{
    check_each_table(check, setting, check_everybody);
    check_each_table(check, setting, check_entries);
}

void check_transports(struct check *check)
{
    check_each(check, "transport_maps", check_maps);
    check_each(check, "sender_dependent_default_transport_maps", check_table_entries);
    check_each(check, "default_transport", check_named);
    check_each(check, "relay_transport", check_named);
    check_each(check, "local_transport", check_named);
    check_each(check, "virtual_transport", check_named);
    check_each(check, "mailbox_transport", check_named);
    check_each(check, "fallback_transport", check_named);
}
