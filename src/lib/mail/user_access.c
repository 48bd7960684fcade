/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/user_access.h"

#include "base/ensure.h"
#include "base/memory.h"
#include "table/match_list.h"

#include <pwd.h>
#include <unistd.h>

struct user_access {
    enum user_right right;
    uid_t owner;
    bool is_for_all;
    struct match_list *list; /* NULL: `problem` says why */
    struct error problem;
};

static const char *const actions[USER_RIGHT_COUNT] = {
    [USER_RIGHT_FLUSH] = "flush the mail queue",
    [USER_RIGHT_VIEW] = "view the mail queue",
    [USER_RIGHT_SUBMIT] = "submit mail",
};

static struct str list_text(const struct config *config, enum user_right right)
{
    switch (right) {
    case USER_RIGHT_FLUSH:
        return config->authorized_flush_users;
    case USER_RIGHT_VIEW:
        return config->authorized_mailq_users;
    case USER_RIGHT_SUBMIT:
        return config->authorized_submit_users;
    case USER_RIGHT_COUNT:
        break;
    }
    unreachable();
}

static struct str list_name(enum user_right right)
{
    static const struct str names[USER_RIGHT_COUNT] = {
        [USER_RIGHT_FLUSH] = STR_INIT("authorized_flush_users"),
        [USER_RIGHT_VIEW] = STR_INIT("authorized_mailq_users"),
        [USER_RIGHT_SUBMIT] = STR_INIT("authorized_submit_users"),
    };

    return names[right];
}

struct user_access *user_access_new(const struct config *config, enum user_right right, uid_t owner)
{
    struct user_access *access = memory_new(sizeof *access);
    struct str text = list_text(config, right), rest = text, first;
    struct match_list_options options = { .name = list_name(right) };

    access->right = right;
    access->owner = owner;
    access->is_for_all =
        str_next_word(&rest, ", \t\r\n", &first) && str_starts_with(first, STR("static:"));
    access->list = match_list_new(text, &options, &access->problem);
    return access;
}

void user_access_free(struct user_access **access)
{
    if (*access == NULL)
        return;
    match_list_free(&(*access)->list);
    memory_free(*access);
    *access = NULL;
}

bool user_access_is_given(const struct user_access *access, uid_t uid)
{
    if (access->list != NULL && access->is_for_all)
        return true;
    return access->right != USER_RIGHT_SUBMIT && (uid == 0 || uid == access->owner);
}

enum user_verdict user_access_check(struct user_access *access, uid_t uid, struct str name,
                                    struct error *error)
{
    if (user_access_is_given(access, uid))
        return USER_ALLOWED;
    if (access->list == NULL) {
        error_set(error, "%s", access->problem.message);
        return USER_UNCLEAR;
    }
    if (name.len == 0)
        name = STR("unknown");
    switch (match_list_find_name(access->list, name, error)) {
    case MATCH_FOUND:
        return USER_ALLOWED;
    case MATCH_ABSENT:
        error_set(error, "User %.*s(%ld) is not allowed to %s", STR_ARGS(name), (long)uid,
                  actions[access->right]);
        return USER_FORBIDDEN;
    case MATCH_FAILED:
        error_context(error, "%.*s", STR_ARGS(list_name(access->right)));
        return USER_UNCLEAR;
    }
    unreachable();
}

enum user_verdict user_access_check_caller(const struct config *config, enum user_right right,
                                           struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    const struct passwd *owner = getpwnam(arena_text(&scratch, config->mail_owner));
    uid_t uid = getuid();
    struct user_access *access = user_access_new(config, right, owner != NULL ? owner->pw_uid : 0);
    const struct passwd *user = user_access_is_given(access, uid) ? NULL : getpwuid(uid);
    enum user_verdict verdict =
        user_access_check(access, uid, user != NULL ? str_from(user->pw_name) : STR(""), error);

    user_access_free(&access);
    return verdict;
}
