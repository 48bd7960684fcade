/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

_Noreturn void die(const char *what, const struct error *error)
{
    fprintf(stderr, "%s: %s%s%s\n", program_invocation_short_name, what, error != NULL ? ": " : "",
            error != NULL ? error->message : "");
    exit(1);
}

_Noreturn void die_errno(const char *what)
{
    struct error error;

    error_errno(&error, "%s", what);
    die("failed", &error);
}

int program_open(void)
{
    struct rlimit limit;
    sigset_t signals;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        die_errno("signalfd");
    return fd;
}

bool program_take_signals(int signal_fd, void (*report)(void *argument), void *argument)
{
    struct signalfd_siginfo info;
    bool goes_on = true;

    while (read(signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGUSR1)
            report(argument);
        else
            goes_on = false;
    }
    return goes_on;
}

double program_cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}
