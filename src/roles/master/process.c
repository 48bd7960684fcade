/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONTROL_FD = 3, LOG_FD = 4, FIRST_UNUSED_FD = 5 };

/* In the child, between fork and exec: async-signal-safe calls only. The two descriptors are first
 * moved out of the way of 3 and 4, then to their places. */
static void become_role(const struct process_needs *needs, int control_fd)
{
    char *const arguments[] = { (char[]){ "waypost" }, (char[]){ "role" }, strdupa(needs->role),
                                NULL };
    sigset_t none;

    int control = fcntl(control_fd, F_DUPFD, FIRST_UNUSED_FD);
    int log = fcntl(needs->log_fd, F_DUPFD, FIRST_UNUSED_FD);
    if (control < 0 || log < 0 || dup2(control, CONTROL_FD) < 0 || dup2(log, LOG_FD) < 0)
        _exit(EXIT_FAILURE);
    close_range(FIRST_UNUSED_FD, ~0U, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    umask(077);
    execve("/proc/self/exe", arguments, (char *const *)(uintptr_t)needs->environment);
    _exit(EXIT_FAILURE);
}

bool process_start(const struct process_needs *needs, pid_t *pid, int *control_fd,
                   struct error *error)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(error, "create a control channel");
    *pid = fork();
    if (*pid == 0)
        become_role(needs, pair[1]);
    close(pair[1]);
    if (*pid < 0) {
        error_errno(error, "fork for %s", needs->role);
        close(pair[0]);
        return false;
    }
    *control_fd = pair[0];
    return true;
}
