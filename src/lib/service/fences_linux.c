/* SPDX-License-Identifier: Apache-2.0 */
#include "service/fences.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights of ABI 1; what later ABIs add is masked off where the kernel does not know it. */
#define LANDLOCK_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define LANDLOCK_WRITE                                                                             \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG)
#define LANDLOCK_ALL                                                                               \
    (LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK |   \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

bool fences_need_dumpable(void)
{
    return false;
}

static bool landlock_allow(int ruleset, const char *path, uint64_t allowed, struct error *error)
{
    autoclose int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(error, "open %s", path);
    if (!S_ISDIR(status.st_mode))
        allowed &= LANDLOCK_ACCESS_FS_READ_FILE;
    /* Moving within the spool (maildrop to corrupt) is a right of its own since ABI 2. */
    if ((allowed & LANDLOCK_WRITE) != 0 &&
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 2)
        allowed |= LANDLOCK_ACCESS_FS_REFER;
    const struct landlock_path_beneath_attr rule = { .allowed_access = allowed, .parent_fd = fd };
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return error_errno(error, "allow %s in Landlock", path);
    return true;
}

bool fences_files(const char *const *paths, const char *const *readable, struct error *error)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct landlock_ruleset_attr attributes = { .handled_access_fs = LANDLOCK_ALL };

    if (version < 1)
        return error_set(error, "this kernel has no Landlock; files are fenced by user and root "
                                "directory alone");
    if (version >= 2)
        attributes.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
    autoclose int ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    if (ruleset < 0)
        return error_errno(error, "create a Landlock ruleset");
    for (; paths != NULL && *paths != NULL; paths++)
        if (!landlock_allow(ruleset, *paths, LANDLOCK_READ | LANDLOCK_WRITE, error))
            return false;
    for (; readable != NULL && *readable != NULL; readable++)
        if (access(*readable, F_OK) == 0 &&
            !landlock_allow(ruleset, *readable, LANDLOCK_READ, error))
            return false;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return error_errno(error, "enforce Landlock");
    return true;
}

/* No role has an honest use for these: whoever calls them was taken over. */
static const int deadly[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(bpf),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(personality),
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setgroups),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
};

/* Libraries may try these and have another way: they fail as if not permitted. */
static const int of_files[] = {
    SCMP_SYS(open),      SCMP_SYS(openat),   SCMP_SYS(openat2),   SCMP_SYS(creat),
    SCMP_SYS(rename),    SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),  SCMP_SYS(link),     SCMP_SYS(linkat),    SCMP_SYS(symlink),
    SCMP_SYS(symlinkat), SCMP_SYS(mkdir),    SCMP_SYS(mkdirat),   SCMP_SYS(chmod),
    SCMP_SYS(fchmodat),  SCMP_SYS(chown),    SCMP_SYS(fchownat),  SCMP_SYS(truncate),
};
static const int of_sockets[] = { SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(bind),
                                  SCMP_SYS(listen) };
static const int of_threads[] = { SCMP_SYS(clone), SCMP_SYS(clone3) };

/* All roles are one user, so that the kernel alone would let them do these to each other. The first
 * argument says to whom: the caller itself (abort sends it a signal), or 0 for itself. */
static const int of_signals[] = { SCMP_SYS(kill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo),
                                  SCMP_SYS(rt_tgsigqueueinfo) };
static const int of_settings[] = { SCMP_SYS(prlimit64), SCMP_SYS(sched_setaffinity),
                                   SCMP_SYS(sched_setscheduler), SCMP_SYS(sched_setparam),
                                   SCMP_SYS(sched_setattr) };
static const int of_others[] = { SCMP_SYS(tkill),
                                 SCMP_SYS(pidfd_open),
                                 SCMP_SYS(pidfd_send_signal),
                                 SCMP_SYS(process_madvise),
                                 SCMP_SYS(process_mrelease),
                                 SCMP_SYS(move_pages),
                                 SCMP_SYS(migrate_pages),
                                 SCMP_SYS(setpriority),
                                 SCMP_SYS(ioprio_set),
                                 SCMP_SYS(kcmp) };
/* New code: what runs is in memory by then. */
static const int of_code[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(pkey_mprotect) };

#define REFUSE SCMP_ACT_ERRNO(EPERM)

static bool add(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (calls[i] >= 0 && seccomp_rule_add(filter, action, calls[i], 0) < 0)
            return false;
    return true;
}

#define ADD(filter, action, calls) add((filter), (action), (calls), sizeof(calls) / sizeof *(calls))

static struct scmp_arg_cmp where(unsigned argument, enum scmp_compare comparison, uint64_t value,
                                 uint64_t other)
{
    return (struct scmp_arg_cmp){
        .arg = argument, .op = comparison, .datum_a = value, .datum_b = other
    };
}

/* Refuses the calls where an argument compares like that. */
static bool refuse_where(scmp_filter_ctx filter, struct scmp_arg_cmp condition, const int *calls,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (calls[i] >= 0 && seccomp_rule_add_array(filter, REFUSE, calls[i], 1, &condition) < 0)
            return false;
    return true;
}

#define REFUSE_WHERE(filter, condition, calls)                                                     \
    refuse_where((filter), (condition), (calls), sizeof(calls) / sizeof *(calls))

/* Sockets of the families that it has a use for: AF_UNIX, or AF_INET and AF_INET6. */
static bool fence_sockets(scmp_filter_ctx filter, unsigned rights)
{
    static const int creation[] = { SCMP_SYS(socket) };
    bool has_local = (rights & CONFINEMENT_LOCAL) != 0, has_inet = (rights & CONFINEMENT_INET) != 0;

    if (!has_local && !has_inet)
        return ADD(filter, REFUSE, of_sockets);
    for (uint64_t family = 0; family <= AF_INET6; family++) {
        bool is_wanted = (family == AF_UNIX && has_local) ||
                         ((family == AF_INET || family == AF_INET6) && has_inet);
        if (!is_wanted && !REFUSE_WHERE(filter, where(0, SCMP_CMP_EQ, family, 0), creation))
            return false;
    }
    return REFUSE_WHERE(filter, where(0, SCMP_CMP_GT, AF_INET6, 0), creation);
}

static bool fence_others(scmp_filter_ctx filter)
{
    return ADD(filter, REFUSE, of_others) &&
           REFUSE_WHERE(filter, where(0, SCMP_CMP_NE, (uint64_t)getpid(), 0), of_signals) &&
           REFUSE_WHERE(filter, where(0, SCMP_CMP_NE, 0, 0), of_settings);
}

static bool build(scmp_filter_ctx filter, unsigned rights, bool has_files)
{
    return ADD(filter, SCMP_ACT_KILL_PROCESS, deadly) &&
           (has_files || ADD(filter, REFUSE, of_files)) && fence_sockets(filter, rights) &&
           fence_others(filter) &&
           ((rights & CONFINEMENT_THREADS) != 0 || ADD(filter, REFUSE, of_threads)) &&
           REFUSE_WHERE(filter, where(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC), of_code);
}

bool fences_system_calls(unsigned rights, bool has_files, struct error *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (filter == NULL)
        return error_set(error, "create a seccomp filter: out of memory");
    bool is_loaded = build(filter, rights, has_files);
    if (!is_loaded)
        error_set(error, "build the seccomp filter: a system call is not known");
    int status = is_loaded ? seccomp_load(filter) : 0;
    seccomp_release(filter);
    if (status < 0)
        return error_set(error, "load the seccomp filter: %s", strerror(-status));
    return is_loaded;
}
