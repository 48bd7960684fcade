/* SPDX-License-Identifier: Apache-2.0 */
#include "user_name.h"

#include "base/file.h"
#include "endpoints.h"
#include "service/capabilities.h"
#include "wire/wire.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OUTPUT_FD = 3, PATIENCE_S = 10 };

static bool is_absence(int code)
{
    return code == 0 || code == ENOENT || code == ESRCH || code == EBADF || code == EPERM;
}

/* In the child. Nothing of the master's is left to whatever the look-up loads. */
static _Noreturn void look_up(uid_t uid, int output)
{
    static const struct capabilities none;
    struct error error;
    sigset_t alarm_only;

    if (dup2(output, OUTPUT_FD) < 0 || close_range(OUTPUT_FD + 1, ~0U, 0) < 0)
        _exit(EXIT_FAILURE);
    if (geteuid() == 0 && !capabilities_keep(&none, &error))
        _exit(EXIT_FAILURE);
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &alarm_only, NULL);
    alarm(PATIENCE_S);
    errno = 0;
    const struct passwd *record = getpwuid(uid);
    if (record == NULL && !is_absence(errno))
        _exit(EXIT_FAILURE);
    struct str name = record != NULL ? str_from(record->pw_name) : STR("");
    _exit(fd_write_all(OUTPUT_FD, str_of(name.len > 0 ? name.ptr : "", name.len + 1), "the name",
                       &error)
              ? EXIT_SUCCESS
              : EXIT_FAILURE);
}

/* Our end of a child's socket; -1 with errno. */
static int start(uid_t uid)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    pid_t child = fork();
    if (child == 0)
        look_up(uid, pair[1]);
    close(pair[1]);
    if (child < 0)
        fd_close(&pair[0]);
    return pair[0];
}

bool user_name_ask(struct channel *control, struct str payload, bool may_start, bool *has_child)
{
    struct wire_control_ask_user message;

    *has_child = false;
    if (!wire_decode_control_ask_user(control, payload, &message))
        return false;
    errno = EAGAIN;
    autoclose int fd = may_start ? start(message.uid) : -1;
    *has_child = fd >= 0;
    endpoints_answer(control, message.token, fd);
    return true;
}
