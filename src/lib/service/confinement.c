/* SPDX-License-Identifier: Apache-2.0 */
#include "service/confinement.h"

#include "service/fences.h"
#include "service/spool.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Irreversibly, and that is verified. */
static bool become_owner(const struct spool_owner *owner, const char *name, struct error *error)
{
    if (name != NULL ? initgroups(name, owner->gid) < 0 : setgroups(0, NULL) < 0)
        return error_errno(error, "set the supplementary groups");
    if (setresgid(owner->gid, owner->gid, owner->gid) < 0)
        return error_errno(error, "take mail_owner's group");
    if (setresuid(owner->uid, owner->uid, owner->uid) < 0)
        return error_errno(error, "take mail_owner's user");
    if (setuid(0) == 0 || geteuid() != owner->uid)
        return error_set(error, "the superuser's rights came back after they were dropped");
    return true;
}

static bool enter_empty_root(const struct config *config, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    const char *path = spool_path(&scratch, config, "empty");

    if (chroot(path) < 0 || chdir("/") < 0)
        return error_errno(error, "make %s the root directory", path);
    return true;
}

static bool drop_superuser(const struct config *config, bool keeps_root_directory,
                           bool keeps_groups, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    const char *name = keeps_groups ? arena_text(&scratch, config->mail_owner) : NULL;
    struct spool_owner owner;

    if (geteuid() != 0)
        return true;
    return spool_owner_find(config, &owner, error) &&
           (keeps_root_directory || enter_empty_root(config, error)) &&
           become_owner(&owner, name, error);
}

static bool drop_privileges(unsigned rights, struct error *error)
{
    const struct rlimit none = { 0, 0 };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_errno(error, "set no_new_privs");
    /* Also after a change of user the kernel may have left this on. */
    if (prctl(PR_SET_DUMPABLE, fences_need_dumpable() ? 1 : 0, 0, 0, 0) < 0)
        return error_errno(error, "set dumpable");
    if ((rights & CONFINEMENT_THREADS) == 0 && !fences_need_dumpable())
        setrlimit(RLIMIT_NPROC, &none);
    return true;
}

/* Whose absolute paths the kernel is to allow. */
static const char **allowed_paths(struct arena *scratch, const struct config *config,
                                  const char *const *folders)
{
    size_t count = 0;

    while (folders != NULL && folders[count] != NULL)
        count++;
    const char **paths = arena_new_array(scratch, count + 1, sizeof *paths);
    for (size_t i = 0; i < count; i++)
        paths[i] = spool_path(scratch, config, folders[i]);
    return paths;
}

bool confinement_apply(struct service *service, const struct confinement *confinement,
                       struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    bool has_files = confinement->spool_folders != NULL;
    bool keeps_root_directory = has_files || (confinement->rights & CONFINEMENT_LOCAL) != 0;
    const char **paths = allowed_paths(&scratch, service->config, confinement->spool_folders);

    tzset(); /* reads the time zone's file, which will be out of reach */
    if (!drop_superuser(service->config, keeps_root_directory, confinement->keeps_groups, error) ||
        !drop_privileges(confinement->rights, error))
        return error_context(error, "confine");
    if (!fences_files(paths, confinement->readable_folders, error))
        log_info(&service->log_context, "confinement: %s", error->message);
    if (!fences_system_calls(confinement->rights, has_files, error))
        return error_context(error, "confine");
    return true;
}
