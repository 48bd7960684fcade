/* SPDX-License-Identifier: Apache-2.0 */
#include "service/spool.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum folder_owner { OWNER_ROOT, OWNER_MAIL, OWNER_MAIL_AND_DROP };

/* What stands below queue_directory. */
static const struct folder {
    const char *name;
    mode_t mode;
    enum folder_owner owner;
} folders[] = {
    { "pid", 0755, OWNER_ROOT },
    { "public", 0755, OWNER_MAIL }, /* the queue's socket: it asks the kernel who calls */
    { "maildrop", 01770, OWNER_MAIL_AND_DROP }, /* the setgid postdrop writes, and syncs it */
    { "corrupt", 0700, OWNER_MAIL },            /* what pickup could not read */
    { "store", 0700, OWNER_MAIL },              /* the queue role alone */
    { "empty", 0555, OWNER_ROOT },              /* the root directory of confined roles */
};

const char *spool_path(struct arena *arena, const struct config *config, const char *name)
{
    return arena_printf(arena, "%.*s/%s", STR_ARGS(config->queue_directory), name);
}

static bool find_user(const char *name, struct spool_owner *owner, struct error *error)
{
    const struct passwd *user = getpwnam(name);

    if (user == NULL)
        return error_set(error,
                         "mail_owner: there is no user %s; create it with: useradd --system "
                         "--no-create-home --home-dir / --shell /usr/sbin/nologin %s",
                         name, name);
    if (user->pw_uid == 0)
        return error_set(error,
                         "mail_owner: %s is the superuser; give the mail system a user of "
                         "its own",
                         name);
    owner->uid = user->pw_uid;
    owner->gid = user->pw_gid;
    return true;
}

bool spool_owner_find(const struct config *config, struct spool_owner *owner, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };

    if (geteuid() != 0) {
        *owner = (struct spool_owner){ geteuid(), getegid(), getegid() };
        return true;
    }
    if (!find_user(arena_text(&scratch, config->mail_owner), owner, error))
        return false;
    const char *name = arena_text(&scratch, config->setgid_group);
    const struct group *group = getgrnam(name);
    if (group == NULL)
        return error_set(error,
                         "setgid_group: there is no group %s; create it with: groupadd --system %s",
                         name, name);
    owner->drop_gid = group->gr_gid;
    return true;
}

static bool own(const char *path, const struct folder *folder, const struct spool_owner *owner,
                struct error *error)
{
    uid_t uid = folder->owner == OWNER_ROOT ? 0 : owner->uid;
    gid_t gid = folder->owner == OWNER_ROOT            ? 0
                : folder->owner == OWNER_MAIL_AND_DROP ? owner->drop_gid
                                                       : owner->gid;

    if (geteuid() == 0 && chown(path, uid, gid) < 0)
        return error_errno(error, "give %s its owner", path);
    if (chmod(path, folder->mode) < 0)
        return error_errno(error, "give %s its mode", path);
    return true;
}

/* A folder that was there keeps its contents and gets the owner and mode it should have; a link
 * or a folder of a stranger is not ours to change. */
static bool prepare_folder(const char *path, const struct folder *folder,
                           const struct spool_owner *owner, bool *was_made, struct error *error)
{
    struct stat status;

    *was_made = mkdir(path, 0700) == 0;
    if (!*was_made && errno != EEXIST)
        return error_errno(error, "create %s", path);
    if (lstat(path, &status) < 0)
        return error_errno(error, "stat %s", path);
    if (!S_ISDIR(status.st_mode))
        return error_set(error, "%s is not a folder", path);
    if (status.st_uid != 0 && status.st_uid != owner->uid)
        return error_set(error, "%s belongs to user %u, neither to root nor to mail_owner", path,
                         (unsigned)status.st_uid);
    return own(path, folder, owner, error);
}

bool spool_prepare(const struct config *config, const struct spool_owner *owner,
                   void (*created)(void *argument, const char *path), void *argument,
                   struct error *error)
{
    static const struct folder top = { "", 0755, OWNER_ROOT };
    static const struct folder data = { "", 0700, OWNER_MAIL };
    autoclear_arena struct arena scratch = { 0 };
    bool was_made;

    const char *path = arena_text(&scratch, config->queue_directory);
    if (!prepare_folder(path, &top, owner, &was_made, error))
        return error_context(error, "queue_directory");
    if (was_made && created != NULL)
        created(argument, path);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        path = spool_path(&scratch, config, folders[i].name);
        if (!prepare_folder(path, &folders[i], owner, &was_made, error))
            return error_context(error, "queue_directory");
        if (was_made && created != NULL)
            created(argument, path);
    }
    path = arena_text(&scratch, config->data_directory);
    if (!prepare_folder(path, &data, owner, &was_made, error))
        return error_context(error, "data_directory");
    if (was_made && created != NULL)
        created(argument, path);
    return true;
}

enum spool_running spool_is_running(struct str queue_directory, pid_t *pid, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    const char *path = arena_printf(&scratch, "%.*s/pid/master.pid", STR_ARGS(queue_directory));
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char text[32] = { 0 };

    if (fd < 0 && errno == ENOENT)
        return SPOOL_STOPPED;
    if (fd < 0) {
        error_errno(error, "open %s", path);
        return SPOOL_UNKNOWN;
    }
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return SPOOL_STOPPED;
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    uint64_t number;
    if (len <= 0 || !str_to_u64(str_trim(str_of(text, (size_t)len)), &number) || number < 2 ||
        number > INT32_MAX) {
        error_set(error, "%s is locked, but holds no process id", path);
        return SPOOL_UNKNOWN;
    }
    *pid = (pid_t)number;
    return SPOOL_RUNNING;
}

int spool_lock_master(const struct config *config, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    const char *path = spool_path(&scratch, config, "pid/master.pid");
    autoclose int fd = lock_file(path, error);
    char text[32];

    /* Somebody who only asks whether we run holds the lock for an instant. */
    for (int tries = 0; fd < 0 && error->system_errno == EWOULDBLOCK && tries < 5; tries++) {
        usleep(20000);
        fd = lock_file(path, error);
    }
    if (fd < 0) {
        if (error->system_errno == EWOULDBLOCK)
            error_set(error, "the mail system is already running (%s is locked)", path);
        return -1;
    }
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) != len || fchmod(fd, 0644) < 0) {
        error_errno(error, "write %s", path);
        return -1;
    }
    return fd_take(&fd);
}
