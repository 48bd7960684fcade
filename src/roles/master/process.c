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

enum { CONTROL_FD = 3, LOG_FD = 4, FIRST_UNUSED_FD = 5, ENVIRONMENT_MAX = 16 };

/* All that a role inherits of the environment: the time zone for its log and dates, and what
 * sanitizer builds are told. */
static const char *const inherited[] = {
    "TZ=", "LANG=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=", "TSAN_OPTIONS="
};

static char search_path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

static void choose_environment(char *environment[ENVIRONMENT_MAX])
{
    size_t count = 0;

    environment[count++] = search_path;
    for (char **each = environ; *each != NULL; each++)
        for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++)
            if (strncmp(*each, inherited[i], strlen(inherited[i])) == 0 &&
                count + 1 < ENVIRONMENT_MAX)
                environment[count++] = *each;
    environment[count] = NULL;
}

/* In the child, between fork and exec: async-signal-safe calls only. The two descriptors are first
 * moved out of the way of 3 and 4, then to their places. */
static void become_role(const char *role, char *const environment[], int control_fd, int log_fd)
{
    char *const arguments[] = { (char[]){ "waypost" }, (char[]){ "role" }, strdupa(role), NULL };
    sigset_t none;

    int control = fcntl(control_fd, F_DUPFD, FIRST_UNUSED_FD);
    int log = fcntl(log_fd, F_DUPFD, FIRST_UNUSED_FD);
    if (control < 0 || log < 0 || dup2(control, CONTROL_FD) < 0 || dup2(log, LOG_FD) < 0)
        _exit(EXIT_FAILURE);
    close_range(FIRST_UNUSED_FD, ~0U, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    umask(077);
    execve("/proc/self/exe", arguments, environment);
    _exit(EXIT_FAILURE);
}

bool process_start(const char *role, int log_fd, pid_t *pid, int *control_fd, struct error *error)
{
    char *environment[ENVIRONMENT_MAX];
    int pair[2];

    choose_environment(environment);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(error, "create a control channel");
    *pid = fork();
    if (*pid == 0)
        become_role(role, environment, pair[1], log_fd);
    close(pair[1]);
    if (*pid < 0) {
        error_errno(error, "fork for %s", role);
        close(pair[0]);
        return false;
    }
    *control_fd = pair[0];
    return true;
}
