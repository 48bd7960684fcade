/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups that the configuration names and the machine does not have. */
#include "check.h"

#include <grp.h>
#include <pwd.h>

static bool has_user(struct check *check, struct str name)
{
    return getpwnam(arena_text(&check->arena, name)) != NULL;
}

static bool has_group(struct check *check, struct str name)
{
    return getgrnam(arena_text(&check->arena, name)) != NULL;
}

static void check_user(struct check *check, const char *name, const char *what)
{
    struct check_setting setting = check_setting_of(check, name);

    if (!has_user(check, setting.value))
        check_find(check, CHECK_ERROR, "missing-user", setting.place,
                   arena_printf(&check->arena, "%s = %.*s: there is no such user, and %s", name,
                                STR_ARGS(setting.value), what),
                   arena_printf(&check->arena,
                                "run \"useradd --system --user-group --no-create-home --shell "
                                "/usr/sbin/nologin %.*s\"",
                                STR_ARGS(setting.value)));
}

static void check_group(struct check *check)
{
    struct check_setting setting = check_setting_of(check, "setgid_group");

    if (!has_group(check, setting.value))
        check_find(
            check, CHECK_ERROR, "missing-group", setting.place,
            arena_printf(&check->arena,
                         "setgid_group = %.*s: there is no such group, and sendmail cannot "
                         "hand in mail",
                         STR_ARGS(setting.value)),
            arena_printf(&check->arena, "run \"groupadd --system %.*s\"", STR_ARGS(setting.value)));
}

/* user=NAME[:GROUP] of a pipe service. */
static void check_pipe(struct check *check, const struct master_service *service)
{
    for (size_t i = 0; i < service->argument_count; i++) {
        struct str rest = service->arguments[i];
        if (!str_starts_with(rest, STR("user=")))
            continue;
        rest = str_skip(rest, 5);
        struct str user = str_cut(&rest, ":");
        bool has_both = has_user(check, user) && (str_is_empty(rest) || has_group(check, rest));
        if (!has_both)
            check_find(check, CHECK_HINT, "missing-user", check_place_of_service(service),
                       arena_printf(&check->arena,
                                    "service %.*s runs as %.*s, which this machine does not have: "
                                    "its mail waits",
                                    STR_ARGS(service->name), STR_ARGS(service->arguments[i])),
                       "add the user, or remove the service where nothing uses it");
        return;
    }
}

void check_accounts(struct check *check)
{
    const struct master_cf *master_cf = &check->source->master_cf;

    check_user(check, "mail_owner", "the queue has no owner");
    check_user(check, "default_privs", "commands in aliases cannot be run");
    check_group(check);
    for (size_t i = 0; i < master_cf->count; i++)
        if (str_equal(master_cf->services[i].command, STR("pipe")))
            check_pipe(check, &master_cf->services[i]);
}
