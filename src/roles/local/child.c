/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    RESULT_FD = 3,
    FIRST_OTHER_FD = 4,
    READ_BYTES = 64 * 1024,
    LOOK_AGAIN_MS = 250, /* no event is trusted to come */
    ORPHAN_GRACE_S = 30, /* how long a child outlives its limit when nobody is left to end it */
};

/* ---- in the child ---- */

/* Irreversibly, and that is verified. Without root nothing changes, and only our own rights will
 * do. */
static bool become(const struct rights *rights)
{
    uid_t real, effective, saved;
    gid_t real_group, effective_group, saved_group;

    if (rights->uid == 0 || rights->gid == 0)
        return false;
    if (geteuid() != 0)
        return rights->uid == geteuid();
    if (setgroups(0, NULL) < 0 || setresgid(rights->gid, rights->gid, rights->gid) < 0 ||
        setresuid(rights->uid, rights->uid, rights->uid) < 0)
        return false;
    return getresuid(&real, &effective, &saved) == 0 && real == rights->uid &&
           effective == rights->uid && saved == rights->uid &&
           getresgid(&real_group, &effective_group, &saved_group) == 0 &&
           real_group == rights->gid && effective_group == rights->gid &&
           saved_group == rights->gid && setuid(0) < 0 && setgid(0) < 0;
}

static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < SIGRTMIN; number++)
        if (number != SIGKILL && number != SIGSTOP)
            signal(number, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN); /* EFBIG is an answer; run() resets it before a program starts */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_limits(const struct child_work *work)
{
    struct rlimit none = { 0, 0 };

    setrlimit(RLIMIT_CORE, &none);
    if (work->size_limit_bytes > 0) {
        struct rlimit size = { (rlim_t)work->size_limit_bytes, (rlim_t)work->size_limit_bytes };
        setrlimit(RLIMIT_FSIZE, &size);
    }
}

static bool set_descriptors(int result_fd)
{
    int null_fd = open("/dev/null", O_RDWR);

    if (null_fd < 0)
        return false;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null_fd, fd) < 0)
            return false;
    if (result_fd != RESULT_FD && dup2(result_fd, RESULT_FD) < 0)
        return false;
    fcntl(RESULT_FD, F_SETFD, FD_CLOEXEC);
    return close_range(FIRST_OTHER_FD, ~0U, 0) == 0;
}

static _Noreturn void be_child(const struct child_work *work, int result_fd)
{
    reset_signals();
    setpgid(0, 0);
    umask(077);
    if (!set_descriptors(result_fd))
        _exit(CHILD_RIGHTS_FAILED);
    set_limits(work);
    /* Should the role die, nobody watches the time: a program keeps this alarm. */
    alarm((unsigned)(work->limit_ms / 1000) + ORPHAN_GRACE_S);
    if (work->root != NULL && (chroot(work->root) < 0 || chdir("/") < 0))
        _exit(CHILD_ROOT_FAILED);
    if (work->as_root != NULL && !work->as_root(work->argument))
        _exit(CHILD_REFUSED);
    if (!become(&work->rights))
        _exit(CHILD_RIGHTS_FAILED);
    _exit(work->run(work->argument, RESULT_FD));
}

/* ---- in the role ---- */

struct running {
    struct loop *loop;
    struct fiber *fiber;
    pid_t pid;
    struct watch result_watch, end_watch;
    int result_fd, end_fd;
    bool is_result_over;
};

static void result_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    fiber_wake(list_entry(watch, struct running, result_watch)->fiber);
}

static void end_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    fiber_wake(list_entry(watch, struct running, end_watch)->fiber);
}

static bool start(struct running *running, const struct child_work *work, struct error *error)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC) < 0)
        return error_errno(error, "create a pipe");
    running->result_fd = pair[0];
    running->pid = fork();
    if (running->pid == 0)
        be_child(work, pair[1]);
    int fork_errno = errno;
    close(pair[1]);
    errno = fork_errno;
    if (running->pid < 0)
        return error_errno(error, "fork");
    setpgid(running->pid, running->pid); /* whichever of the two comes first */
    running->end_fd = (int)syscall(SYS_pidfd_open, running->pid, 0);
    if (running->end_fd < 0)
        return error_errno(error, "watch a child");
    return fd_set_nonblocking(running->result_fd, error) &&
           watch_open(running->loop, &running->result_watch, running->result_fd, EPOLLIN,
                      result_ready, error) &&
           watch_open(running->loop, &running->end_watch, running->end_fd, EPOLLIN, end_ready,
                      error);
}

/* Everything that is there; past the bound it is dropped. */
static void read_result(struct running *running, struct buf *output, size_t limit)
{
    char bytes[4096];
    size_t taken = 0;

    while (!running->is_result_over) {
        ssize_t count = read(running->result_fd, bytes, sizeof bytes);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (count <= 0) {
            running->is_result_over = true;
            return;
        }
        size_t room = output->len < limit ? limit - output->len : 0;
        buf_append(output, str_take(str_of(bytes, (size_t)count), room));
        taken += (size_t)count;
        if (taken >= READ_BYTES) {
            fiber_wake(running->fiber); /* the rest after the others had their turn */
            return;
        }
    }
}

static bool has_ended(struct running *running, int *status)
{
    pid_t pid;

    do
        pid = waitpid(running->pid, status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return false;
    running->pid = 0;
    return true;
}

static void kill_group(struct running *running)
{
    int status;

    if (running->pid <= 0)
        return;
    kill(-running->pid, SIGKILL);
    kill(running->pid, SIGKILL);
    while (waitpid(running->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    running->pid = 0;
}

static enum child_end wait_for(struct running *running, const struct child_work *work,
                               struct child_result *result)
{
    int64_t deadline_ms = loop_now_ms(running->loop) + work->limit_ms;
    int status = 0;

    for (;;) {
        read_result(running, &result->output, work->output_bytes);
        if (has_ended(running, &status))
            break;
        int64_t now_ms = loop_now_ms(running->loop);
        if (now_ms >= deadline_ms) {
            kill_group(running);
            return CHILD_TIMED_OUT;
        }
        int64_t look_ms = now_ms + LOOK_AGAIN_MS;
        switch (fiber_wait(running->loop, "a child's end",
                           look_ms < deadline_ms ? look_ms : deadline_ms)) {
        case WAKE_READY:
        case WAKE_TIMEOUT:
            break;
        case WAKE_CANCELLED:
            kill_group(running);
            return CHILD_CANCELLED;
        }
    }
    read_result(running, &result->output, work->output_bytes);
    result->status = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    return WIFSIGNALED(status) ? CHILD_SIGNALLED : CHILD_EXITED;
}

enum child_end child_run(struct loop *loop, const struct child_work *work,
                         struct child_result *result)
{
    struct running running = { .loop = loop,
                               .fiber = fiber_current(loop),
                               .result_watch = { .fd = -1 },
                               .end_watch = { .fd = -1 },
                               .result_fd = -1,
                               .end_fd = -1 };
    enum child_end end = CHILD_NOT_STARTED;

    if (start(&running, work, &result->error))
        end = wait_for(&running, work, result);
    kill_group(&running);
    watch_close(loop, &running.result_watch);
    watch_close(loop, &running.end_watch);
    fd_close(&running.result_fd);
    fd_close(&running.end_fd);
    return end;
}
