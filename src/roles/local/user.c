/* SPDX-License-Identifier: Apache-2.0 */
#include "user.h"

#include "base/memory.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

enum { RECORD_BYTES_FIRST = 4096, RECORD_BYTES_MAX = 1024 * 1024 };

static bool has_own_group(const char *name, gid_t gid)
{
    size_t size = RECORD_BYTES_FIRST;
    char *bytes = memory_new(size);
    struct group group, *found = NULL;
    int code;

    while ((code = getgrgid_r(gid, &group, bytes, size, &found)) == ERANGE &&
           size < RECORD_BYTES_MAX)
        bytes = memory_resize(bytes, size *= 4);
    bool is_own = code == 0 && found != NULL && strcmp(found->gr_name, name) == 0;

    for (char **member = is_own ? found->gr_mem : NULL; member != NULL && *member != NULL; member++)
        is_own = is_own && strcmp(*member, name) == 0;
    memory_free(bytes);
    return is_own;
}

static void fill(struct arena *arena, const struct passwd *record, struct user *user)
{
    *user = (struct user){
        .name = arena_text(arena, str_from(record->pw_name)),
        .rights = { record->pw_uid, record->pw_gid },
        .home = arena_text(arena, str_from(record->pw_dir)),
        .shell = arena_text(arena, str_from(record->pw_shell)),
        .has_own_group = has_own_group(record->pw_name, record->pw_gid),
    };
}

static bool is_absence(int code)
{
    return code == 0 || code == ENOENT || code == ESRCH || code == EBADF || code == EPERM;
}

static enum user_outcome find(struct arena *arena, const char *name, uid_t uid, struct user *user,
                              struct error *error)
{
    size_t size = RECORD_BYTES_FIRST;
    char *bytes = memory_new(size);
    struct passwd record, *found = NULL;
    int code;

    do {
        code = name != NULL ? getpwnam_r(name, &record, bytes, size, &found)
                            : getpwuid_r(uid, &record, bytes, size, &found);
        if (code == ERANGE)
            bytes = memory_resize(bytes, size *= 4);
    } while (code == EINTR || (code == ERANGE && size <= RECORD_BYTES_MAX));
    if (found != NULL)
        fill(arena, found, user);
    memory_free(bytes);
    if (found != NULL)
        return USER_FOUND;
    if (is_absence(code))
        return USER_ABSENT;
    errno = code;
    error_errno(error, "look up user %s", name != NULL ? name : "by id");
    return USER_FAILED;
}

enum user_outcome user_find(struct arena *arena, struct str name, struct user *user,
                            struct error *error)
{
    if (name.len == 0 || memchr(name.ptr, '\0', name.len) != NULL ||
        memchr(name.ptr, '/', name.len) != NULL)
        return USER_ABSENT;
    return find(arena, arena_text(arena, name), 0, user, error);
}

enum user_outcome user_find_id(struct arena *arena, uid_t uid, struct user *user,
                               struct error *error)
{
    return find(arena, NULL, uid, user, error);
}

enum user_outcome group_find(struct str name, gid_t *gid, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    uint64_t number;

    if (str_to_u64(name, &number) && number <= UINT32_MAX) {
        *gid = (gid_t)number;
        return USER_FOUND;
    }
    errno = 0;
    struct group *group = getgrnam(arena_text(&scratch, name));
    if (group != NULL) {
        *gid = group->gr_gid;
        return USER_FOUND;
    }
    if (is_absence(errno))
        return USER_ABSENT;
    error_errno(error, "look up group %.*s", STR_ARGS(name));
    return USER_FAILED;
}
