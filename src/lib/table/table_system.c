/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the system says: environ (the environment), and unix:passwd.byname, unix:group.byname. The
 * accounts are read when the table is opened, because a confined role cannot read them later; so
 * they are those that getpwent lists, which a directory service may leave out. And nis, of which
 * Postfix's default alias_maps has one: on a machine without a NIS domain it is empty.
 */
#include "base/map.h"
#include "table/table_type.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

enum { ACCOUNTS_MAX = 1000000 };

/* ---- environ ---- */

static bool environ_open(struct table *table, struct error *error)
{
    return true;
}

static enum lookup_outcome environ_find(struct table *table, struct str key, struct arena *arena,
                                        struct str *value, struct error *error)
{
    const char *name = arena_text(arena, table->options.keeps_case ? key : table_fold(arena, key));
    const char *found = strlen(name) == key.len ? getenv(name) : NULL;

    if (found == NULL)
        return LOOKUP_ABSENT;
    *value = arena_copy(arena, str_from(found));
    return LOOKUP_FOUND;
}

const struct table_type table_type_environ = {
    .name = "environ",
    .open = environ_open,
    .find = environ_find,
};

/* ---- unix ---- */

static void add_account(struct table *table, const char *name, const char *line)
{
    struct map *accounts = table->state;
    struct str key = str_from(name);

    if (map_find(accounts, key) != NULL)
        return;
    struct str *copy = arena_new(&table->arena, sizeof *copy);
    *copy = str_from(line);
    map_set(accounts, key, copy);
}

static bool read_users(struct table *table, struct error *error)
{
    const struct passwd *user;

    setpwent();
    for (errno = 0; (user = getpwent()) != NULL && map_count(table->state) < ACCOUNTS_MAX;
         errno = 0)
        add_account(table, user->pw_name,
                    arena_printf(&table->arena, "%s:%s:%ld:%ld:%s:%s:%s", user->pw_name,
                                 user->pw_passwd, (long)user->pw_uid, (long)user->pw_gid,
                                 user->pw_gecos, user->pw_dir, user->pw_shell));
    int code = errno;
    endpwent();
    errno = code;
    return code == 0 || code == ENOENT || error_errno(error, "read the user accounts");
}

static bool read_groups(struct table *table, struct error *error)
{
    const struct group *group;

    setgrent();
    for (errno = 0; (group = getgrent()) != NULL && map_count(table->state) < ACCOUNTS_MAX;
         errno = 0) {
        autofree_buf struct buf line = { 0 };
        buf_printf(&line, "%s:%s:%ld:", group->gr_name, group->gr_passwd, (long)group->gr_gid);
        for (char **member = group->gr_mem; *member != NULL; member++)
            buf_printf(&line, "%s%s", member == group->gr_mem ? "" : ",", *member);
        add_account(table, group->gr_name, arena_text(&table->arena, buf_str(&line)));
    }
    int code = errno;
    endgrent();
    errno = code;
    return code == 0 || code == ENOENT || error_errno(error, "read the groups");
}

static bool unix_open(struct table *table, struct error *error)
{
    struct str name = str_from(table->name);

    table->state = map_new();
    if (str_equal(name, STR("passwd.byname")))
        return read_users(table, error);
    if (str_equal(name, STR("group.byname")))
        return read_groups(table, error);
    return error_set(error, "unknown table: %.*s", STR_ARGS(table->specification));
}

static enum lookup_outcome unix_find(struct table *table, struct str key, struct arena *arena,
                                     struct str *value, struct error *error)
{
    const struct str *found =
        map_find(table->state, table->options.keeps_case ? key : table_fold(arena, key));

    if (found == NULL)
        return LOOKUP_ABSENT;
    *value = arena_copy(arena, *found);
    return LOOKUP_FOUND;
}

static void unix_close(struct table *table)
{
    struct map *accounts = table->state;

    if (accounts != NULL)
        map_free(&accounts);
}

const struct table_type table_type_unix = {
    .name = "unix",
    .open = unix_open,
    .find = unix_find,
    .close = unix_close,
};

/* ---- nis ---- */

static bool nis_open(struct table *table, struct error *error)
{
    char domain[256] = "";

    if (getdomainname(domain, sizeof domain - 1) != 0 || domain[0] == '\0' ||
        strcmp(domain, "(none)") == 0)
        return true;
    return error_set(error,
                     "%.*s: this machine is in the NIS domain \"%s\", but NIS is not supported",
                     STR_ARGS(table->specification), domain);
}

static enum lookup_outcome nis_find(struct table *table, struct str key, struct arena *arena,
                                    struct str *value, struct error *error)
{
    return LOOKUP_ABSENT;
}

const struct table_type table_type_nis = {
    .name = "nis",
    .open = nis_open,
    .find = nis_find,
};
