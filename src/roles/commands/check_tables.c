/* SPDX-License-Identifier: Apache-2.0 */
/* Tables that are missing, stale or cannot be read, entries that are skipped, and passwords that
 * everybody can read. A table that cannot answer is not "no": mail waits, and RCPT gets 451. */
#include "check.h"

#include "config/parameter.h"
#include "table/table_source.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

enum { MESSAGES_MAX = 5, FOLDER_ENTRIES_MAX = 10000 };

static const char *const file_types[] = {
    "hash", "btree", "lmdb", "cdb", "texthash", "cidr", "pcre", "regexp", "sqlite",
};

static bool is_built(struct str type)
{
    return str_equal(type, STR("hash")) || str_equal(type, STR("btree")) ||
           str_equal(type, STR("lmdb")) || str_equal(type, STR("cdb"));
}

static bool is_of_files(struct str type)
{
    for (size_t i = 0; i < sizeof file_types / sizeof *file_types; i++)
        if (str_equal(type, str_from(file_types[i])))
            return true;
    return false;
}

static bool exists(const char *path, struct stat *status)
{
    return stat(path, status) == 0;
}

static const char *compiled_path(struct check *check, struct str type, struct str path)
{
    return arena_printf(&check->arena, "%.*s.%s", STR_ARGS(path),
                        str_equal(type, STR("cdb")) ? "cdb" : "lmdb");
}

static bool is_alias_table(struct str parameter)
{
    return str_starts_with(parameter, STR("alias_")) ||
           str_equal(parameter, STR("local_recipient_maps"));
}

/* How its text becomes the table. */
static const char *building(struct check *check, struct str parameter, struct str word)
{
    return arena_printf(&check->arena, "run \"%s %.*s\"",
                        is_alias_table(parameter) ? "postalias" : "postmap", STR_ARGS(word));
}

/* Whether any value in main.cf or master.cf names the table at `path`. */
static bool is_named(const struct check *check, struct str path)
{
    const struct main_cf *main_cf = &check->source->main_cf;

    for (size_t i = 0; i < main_cf->count; i++) {
        struct str rest = main_cf->assignments[i].value, word;
        while (str_next_word(&rest, ", \t\r\n{}", &word))
            if (str_ends_with(word, path) &&
                (word.len == path.len || word.ptr[word.len - path.len - 1] == ':'))
                return true;
    }
    return str_find(check->source->master_text, path) >= 0;
}

/* In the folder of the missing table: one that was built and that nobody names. Empty when there is
 * none, or more than one. */
static struct str find_orphan(struct check *check, struct str path)
{
    struct str found = STR(""), folder = path;
    struct dirent *entry;

    folder = str_take(path, (size_t)(str_find_last_byte(path, '/') + 1));
    DIR *open = opendir(arena_text(&check->arena, folder));
    for (int i = 0; open != NULL && i < FOLDER_ENTRIES_MAX && (entry = readdir(open)) != NULL;
         i++) {
        struct str name = str_from(entry->d_name);
        if (!str_ends_with(name, STR(".lmdb")))
            continue;
        name = str_take(name, name.len - 5);
        struct str whole =
            str_from(arena_printf(&check->arena, "%.*s%.*s", STR_ARGS(folder), STR_ARGS(name)));
        if (is_named(check, whole))
            continue;
        if (!str_is_empty(found)) {
            found = STR("");
            break;
        }
        found = whole;
    }
    if (open != NULL)
        closedir(open);
    return found;
}

static void find_missing(struct check *check, const struct check_setting *setting, struct str word,
                         struct str path, const char *reason)
{
    struct str orphan = find_orphan(check, path);
    struct str type = word;
    const char *cure;

    type = str_cut(&type, ":");
    if (!str_is_empty(orphan) && is_built(type))
        cure = arena_printf(&check->arena,
                            "nobody names %.*s, which is there: write \"%.*s = %.*s:%.*s\" if that "
                            "is the one",
                            STR_ARGS(orphan), STR_ARGS(setting->name), STR_ARGS(type),
                            STR_ARGS(orphan));
    else
        cure = arena_printf(&check->arena,
                            is_built(type) ? "write %.*s and run \"postmap %.*s\""
                                           : "write %.*s (\"%.*s\"), or remove the table",
                            STR_ARGS(path), STR_ARGS(word));
    check_find(check, CHECK_ERROR, "missing-table", setting->place,
               arena_printf(&check->arena,
                            "%.*s: the table %.*s %s, so all that asks it fails: recipients get "
                            "451 and mail waits",
                            STR_ARGS(setting->name), STR_ARGS(word), reason),
               cure);
}

static void check_age(struct check *check, const struct check_setting *setting, struct str word,
                      const char *built, const char *path)
{
    struct stat made, text;

    if (!exists(built, &made) || !exists(path, &text))
        return;
    if (text.st_mtim.tv_sec < made.st_mtim.tv_sec || (text.st_mtim.tv_sec == made.st_mtim.tv_sec &&
                                                      text.st_mtim.tv_nsec <= made.st_mtim.tv_nsec))
        return;
    check_find(check, CHECK_WARNING, "stale-table", setting->place,
               arena_printf(&check->arena,
                            "%.*s: %s is older than %s: what was changed since does "
                            "not count yet",
                            STR_ARGS(setting->name), built, path),
               building(check, setting->name, word));
}

struct listener {
    struct check *check;
    const struct check_setting *setting;
    int count;
};

static void entry_skipped(void *argument, const char *text)
{
    struct listener *listener = argument;

    if (listener->count++ < MESSAGES_MAX)
        check_find(listener->check, CHECK_WARNING, "bad-entry", listener->setting->place,
                   arena_printf(&listener->check->arena, "%.*s: %s",
                                STR_ARGS(listener->setting->name), text),
                   NULL);
}

static void check_opens(struct check *check, const struct check_setting *setting, struct str word)
{
    struct listener listener = { check, setting, 0 };
    struct table_options options = { .warning = entry_skipped, .argument = &listener };
    struct error error;
    struct table *table = table_open(word, &options, &error);

    if (table == NULL)
        check_find(check, CHECK_ERROR, "unreadable-table", setting->place,
                   arena_printf(&check->arena,
                                "%.*s: %s, so all that asks it fails: recipients get 451 and mail "
                                "waits",
                                STR_ARGS(setting->name), error.message),
                   NULL);
    table_close(&table);
}

/* Servers are not asked, and what only a daemon can open is left to it. */
static bool is_checked(struct str type)
{
    static const char *const left[] = { "tcp",  "socketmap", "proxy",   "mysql",    "pgsql",
                                        "ldap", "memcache",  "mongodb", "internal", "netinfo" };

    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        if (str_equal(type, str_from(left[i])))
            return false;
    return true;
}

/* Many parameters' defaults name what another one does; its own place says most. */
static bool is_repeated(const struct check *check, const struct check_setting *setting,
                        struct str word)
{
    const struct main_cf *main_cf = &check->source->main_cf;

    for (size_t i = 0; !setting->is_set && i < main_cf->count; i++)
        if (str_find(main_cf->assignments[i].value, word) >= 0)
            return true;
    const struct check_finding *each = setting->is_set ? NULL : check->first;
    for (; each != NULL; each = each->next)
        if (str_find(str_from(each->text), str_skip(word, (size_t)str_find_byte(word, ':') + 1)) >=
            0)
            return true;
    return false;
}

static void check_table(struct check *check, const struct check_setting *setting, struct str word)
{
    struct str path = word, type = str_cut(&path, ":");
    struct stat status;

    if (!is_checked(type) || is_repeated(check, setting, word))
        return;
    if (is_of_files(type) && path.len > 0 && path.ptr[0] == '/') {
        const char *text = arena_text(&check->arena, path);
        const char *built = is_built(type) ? compiled_path(check, type, path) : text;
        bool has_built = exists(built, &status);
        int why = errno;
        bool has_text = exists(text, &status);
        if (!has_built && is_built(type) && has_text) {
            check_find(check, CHECK_WARNING, "unbuilt-table", setting->place,
                       arena_printf(&check->arena,
                                    "%.*s: %s was never built; its text is read instead, at every "
                                    "start",
                                    STR_ARGS(setting->name), built),
                       building(check, setting->name, word));
            return;
        }
        if (!has_built) {
            find_missing(check, setting, word, path,
                         why == ENOENT ? "does not exist" : strerror(why));
            return;
        }
        if (is_built(type))
            check_age(check, setting, word, built, text);
    }
    check_opens(check, setting, word);
}

static void check_secret(struct check *check, const struct check_setting *setting, struct str word)
{
    struct str path = word, type = str_cut(&path, ":");
    struct stat status;

    if (!str_ends_with(setting->name, STR("sasl_password_maps")) || path.len == 0 ||
        path.ptr[0] != '/')
        return;
    const char *text = arena_text(&check->arena, path);
    const char *built = is_built(type) ? compiled_path(check, type, path) : text;
    for (int i = 0; i < 2; i++) {
        const char *each = i == 0 ? text : built;
        if ((i == 1 && each == text) || !exists(each, &status) || (status.st_mode & 0044) == 0)
            continue;
        check_find(check, CHECK_WARNING, "readable-secret", setting->place,
                   arena_printf(&check->arena,
                                "%s holds passwords, and others than root may read it", each),
                   arena_printf(&check->arena, "run \"chmod 600 %s\"", each));
    }
}

static void check_value(struct check *check, const struct check_setting *setting)
{
    struct str rest = setting->value, word;

    while (table_next_word(&rest, &word)) {
        while (word.len > 0 && word.ptr[0] == '!')
            word = str_skip(word, 1);
        if (str_starts_with(word, STR("proxy:")))
            word = str_skip(word, 6);
        if (!table_is_specification(word) || str_find_byte(word, ':') <= 0)
            continue;
        check_table(check, setting, word);
        check_secret(check, setting, word);
    }
}

/* Values in which "type:name" is a table: those of parameters that are named for it, and of
 * restriction lists behind check_..._access. */
static bool holds_tables(struct str name)
{
    static const char *const ends[] = { "_maps", "_checks", "_map", "_access_list" };

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (str_ends_with(name, str_from(ends[i])))
            return true;
    return str_equal(name, STR("mydestination")) || str_equal(name, STR("relay_domains")) ||
           str_equal(name, STR("virtual_alias_domains")) ||
           str_equal(name, STR("virtual_mailbox_domains")) || str_equal(name, STR("mynetworks"));
}

static void check_restriction_tables(struct check *check, const struct check_setting *setting)
{
    struct str rest = setting->value, word;
    bool is_access = false;

    while (table_next_word(&rest, &word)) {
        if (is_access && table_is_specification(word))
            check_table(check, setting, word);
        is_access = str_starts_with(word, STR("check_")) && str_ends_with(word, STR("_access"));
    }
}

void check_tables(struct check *check)
{
    for (size_t i = 0; i < parameter_count; i++) {
        struct str name = parameters[i].name;
        const char *text = arena_text(&check->arena, name);
        struct check_setting setting = check_setting_of(check, text);
        /* These repeat other parameters' tables, or name what is made at run time. */
        if (str_starts_with(name, STR("proxy_")) || str_equal(name, STR("address_verify_map")) ||
            str_starts_with(name, STR("postscreen_")) || parameters[i].type != PARAMETER_TEXT)
            continue;
        if (str_starts_with(name, STR("smtpd_")) && str_ends_with(name, STR("_restrictions")))
            check_each(check, text, check_restriction_tables);
        else if (holds_tables(name) && (setting.is_set || !str_is_empty(setting.value)))
            check_each(check, text, check_value);
    }
}
