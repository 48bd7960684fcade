/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum { COMSAT_PORT = 512 };

bool mailbox_locks_parse(struct str text, unsigned *locks)
{
    struct str word;

    *locks = 0;
    while (str_next_word(&text, ", \t\r\n", &word)) {
        if (str_equal_fold(word, STR("fcntl")))
            *locks |= MAILBOX_LOCK_FCNTL;
        else if (str_equal_fold(word, STR("flock")))
            *locks |= MAILBOX_LOCK_FLOCK;
        else if (str_equal_fold(word, STR("dotlock")))
            *locks |= MAILBOX_LOCK_DOTLOCK;
        else
            return false;
    }
    return *locks != 0;
}

/* Whether a fault passes by itself, comes from the machine, or is the recipient's. */
static const char *dsn_of(int code, const char *otherwise)
{
    switch (code) {
    case EAGAIN:
    case ESTALE:
    case ETIMEDOUT:
        return "4.2.0";
    case EDQUOT:
        return "4.2.2";
    case EFBIG:
        return "5.2.2";
    case ENOSPC:
    case EIO:
    case EROFS:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return "4.3.0";
    default:
        return otherwise;
    }
}

/* ---- locks ---- */

struct held {
    int fd;
    bool has_dotlock;
    char dotlock[4096];
};

/* Which processes a number is about: those of this boot, seen from here. */
static void name_world(char *world, size_t size)
{
    char boot[64] = "", processes[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, boot, sizeof boot - 1) : -1;

    if (fd >= 0)
        close(fd);
    if (len > 0 && boot[len - 1] == '\n')
        boot[len - 1] = '\0';
    (void)!readlink("/proc/self/ns/pid", processes, sizeof processes - 1);
    snprintf(world, size, "%s %s", boot, processes);
}

/* Whether one of our own made it and was killed before it could take it away. */
static bool is_of_the_dead(const char *path)
{
    char text[256] = "", world[160];
    int pid, name_at = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0 || sscanf(text, "waypost %d %n", &pid, &name_at) != 1 || name_at == 0 || pid <= 1)
        return false;
    name_world(world, sizeof world);
    return strcmp(text + name_at, world) == 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

static void sign(int fd)
{
    char world[160];

    name_world(world, sizeof world);
    dprintf(fd, "waypost %d %s", (int)getpid(), world);
}

static bool is_stale(const char *path, int64_t stale_s)
{
    struct stat status;

    return lstat(path, &status) == 0 &&
           (time(NULL) > status.st_mtime + stale_s || is_of_the_dead(path));
}

static bool take_dotlock(const struct mailbox *mailbox, struct held *held, struct outcome *outcome)
{
    int code = ENAMETOOLONG;

    if (snprintf(held->dotlock, sizeof held->dotlock, "%s.lock", mailbox->path) >=
        (int)sizeof held->dotlock) {
        outcome_set(outcome, "5.2.0", "unable to create lock file: %s", strerror(code));
        return false;
    }
    for (int i = 0; i < mailbox->lock_attempts; i++) {
        int fd = open(held->dotlock, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        code = errno;
        if (fd >= 0) {
            sign(fd);
            close(fd);
            held->has_dotlock = true;
            return true;
        }
        if (code != EEXIST)
            break;
        if (is_stale(held->dotlock, mailbox->stale_lock_s) && unlink(held->dotlock) == 0)
            continue;
        sleep((unsigned)mailbox->lock_delay_s);
    }
    if (mailbox->may_lack_dotlock && code != EEXIST)
        return true;
    outcome_set(outcome, dsn_of(code, "4.2.0"), "unable to create lock file %s: %s", held->dotlock,
                strerror(code));
    return false;
}

static int try_kernel_lock(int fd, enum mailbox_lock kind)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    return kind == MAILBOX_LOCK_FCNTL ? fcntl(fd, F_SETLK, &whole) : flock(fd, LOCK_EX | LOCK_NB);
}

static bool take_kernel_lock(const struct mailbox *mailbox, int fd, enum mailbox_lock kind,
                             struct outcome *outcome)
{
    for (int i = 0; i < mailbox->lock_attempts; i++) {
        if (try_kernel_lock(fd, kind) == 0)
            return true;
        if (errno != EAGAIN && errno != EACCES && errno != EWOULDBLOCK)
            break;
        sleep((unsigned)mailbox->lock_delay_s);
    }
    outcome_set(outcome, "4.2.0", "unable to lock for exclusive access: %s", strerror(errno));
    return false;
}

static void release(struct held *held)
{
    if (held->fd >= 0)
        close(held->fd);
    if (held->has_dotlock)
        unlink(held->dotlock);
    held->fd = -1;
    held->has_dotlock = false;
}

/* ---- one file ---- */

static bool is_null_device(const struct stat *status)
{
    return S_ISCHR(status->st_mode) && status->st_rdev == makedev(1, 3);
}

static bool check_file(const struct mailbox *mailbox, const struct stat *status,
                       struct outcome *outcome)
{
    if (mailbox->is_any_file && is_null_device(status))
        return true;
    if (!S_ISREG(status->st_mode))
        outcome_set(outcome, "5.2.0", "destination %s is not a regular file", mailbox->path);
    else if (status->st_nlink != 1)
        outcome_set(outcome, "5.2.0", "destination %s has several names", mailbox->path);
    else if (mailbox->is_any_file && (status->st_mode & 0111))
        outcome_set(outcome, "5.7.1", "file is executable");
    else if (!mailbox->is_any_file && mailbox->must_be_owner && status->st_uid != geteuid())
        outcome_set(outcome, "4.2.0", "destination %s is not owned by recipient", mailbox->path);
    else
        return true;
    return false;
}

/* Never waits for a reader of a FIFO, never follows a link at the end of the path. */
static bool open_file(const struct mailbox *mailbox, struct held *held, struct stat *status,
                      struct outcome *outcome)
{
    bool may_create = true;

    held->fd = -1;
    if (mailbox->is_any_file && lstat(mailbox->path, status) == 0)
        may_create = S_ISREG(status->st_mode);
    held->fd = open(mailbox->path,
                    O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
                        (may_create ? O_CREAT : 0),
                    0600);
    if (held->fd < 0) {
        if (errno == ELOOP || errno == ENXIO)
            outcome_set(outcome, "5.2.0", "destination %s is not a regular file", mailbox->path);
        else
            outcome_set(outcome, dsn_of(errno, "5.2.0"), "cannot %s: %s",
                        errno == ENOENT ? "create file exclusively" : "open file", strerror(errno));
        return false;
    }
    if (fstat(held->fd, status) < 0) {
        outcome_set(outcome, "4.3.0", "%s", strerror(errno));
        return false;
    }
    return check_file(mailbox, status, outcome);
}

static bool lock_file_of(const struct mailbox *mailbox, struct held *held, struct stat *status,
                         struct outcome *outcome)
{
    static const enum mailbox_lock kinds[] = { MAILBOX_LOCK_FLOCK, MAILBOX_LOCK_FCNTL };

    if (!S_ISREG(status->st_mode))
        return true;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if ((mailbox->locks & kinds[i]) && !take_kernel_lock(mailbox, held->fd, kinds[i], outcome))
            return false;
    return true;
}

/* A mail reader may have put another file in its place while we waited for the lock. */
static bool is_still_there(const struct mailbox *mailbox, const struct stat *opened)
{
    struct stat now;

    return lstat(mailbox->path, &now) == 0 && now.st_dev == opened->st_dev &&
           now.st_ino == opened->st_ino;
}

/* What a crash cut off must not run into the next message. */
static void set_apart(const struct mailbox *mailbox, off_t end, struct buf *out)
{
    char last[2] = { '\n', '\n' };
    int fd = end > 0 ? open(mailbox->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    if (end >= 2 ? pread(fd, last, 2, end - 2) != 2 : pread(fd, last + 1, 1, 0) != 1)
        last[0] = last[1] = '\n';
    close(fd);
    if (last[1] != '\n')
        buf_append(out, STR("\n\n"));
    else if (last[0] != '\n')
        buf_append(out, STR("\n"));
}

static bool write_and_sync(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.ptr, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes = str_skip(bytes, (size_t)written);
    }
    return fsync(fd) == 0 || errno == EINVAL; /* a device has nothing to sync */
}

/* One datagram to whoever shows new mail on terminals (comsat); nothing depends on it. */
static void tell_comsat(const char *name, off_t end)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(COMSAT_PORT),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char text[300];
    int len = snprintf(text, sizeof text, "%s@%lld", name, (long long)end);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    (void)sendto(fd, text, (size_t)len, MSG_DONTWAIT, (struct sockaddr *)&address, sizeof address);
    close(fd);
}

static bool fits(const struct mailbox *mailbox, off_t end, size_t len)
{
    return mailbox->size_limit_bytes <= 0 || end + (int64_t)len <= mailbox->size_limit_bytes;
}

static void append_locked(const struct mailbox *mailbox, const struct held *held,
                          struct outcome *outcome)
{
    autofree_buf struct buf bytes = { 0 };
    struct copy copy = mailbox->copy;
    struct stat status;

    if (fstat(held->fd, &status) < 0) {
        outcome_set(outcome, "4.3.0", "%s", strerror(errno));
        return;
    }
    bool is_regular = S_ISREG(status.st_mode);
    copy.flags = COPY_MBOX & ~(mailbox->has_delivered_to ? 0u : (unsigned)COPY_DELIVERED);
    copy.eol = STR("\n");
    if (is_regular)
        set_apart(mailbox, status.st_size, &bytes);
    copy_format(&copy, &bytes);
    errno = EFBIG;
    if ((is_regular && !fits(mailbox, status.st_size, bytes.len)) ||
        !write_and_sync(held->fd, buf_str(&bytes))) {
        int code = errno;
        if (is_regular && ftruncate(held->fd, status.st_size) == 0)
            (void)!fsync(held->fd);
        outcome_set(outcome, dsn_of(code, "5.3.0"), "error writing message: %s", strerror(code));
        return;
    }
    if (is_regular && status.st_size == 0) {
        struct error error; /* a new file needs its name on disk, too */
        const char *slash = strrchr(mailbox->path, '/');
        char folder[4096];
        snprintf(folder, sizeof folder, "%.*s",
                 slash != NULL && slash > mailbox->path ? (int)(slash - mailbox->path) : 1,
                 slash != NULL ? mailbox->path : ".");
        autoclose int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            (void)!fd_sync(fd, folder, &error);
    }
    outcome_set(outcome, "2.0.0", "delivered to mailbox");
    if (mailbox->biff_name != NULL)
        tell_comsat(mailbox->biff_name, status.st_size);
}

static bool is_null(const struct mailbox *mailbox)
{
    struct stat status;

    return mailbox->is_any_file && lstat(mailbox->path, &status) == 0 && is_null_device(&status);
}

void mailbox_append(const struct mailbox *mailbox, struct outcome *outcome)
{
    struct held held = { .fd = -1 };
    struct stat status;

    for (int i = 0; i < mailbox->lock_attempts; i++) {
        if (((mailbox->locks & MAILBOX_LOCK_DOTLOCK) && !is_null(mailbox) &&
             !take_dotlock(mailbox, &held, outcome)) ||
            !open_file(mailbox, &held, &status, outcome) ||
            !lock_file_of(mailbox, &held, &status, outcome))
            break;
        if (!S_ISREG(status.st_mode) || is_still_there(mailbox, &status)) {
            append_locked(mailbox, &held, outcome);
            break;
        }
        outcome_set(outcome, "4.2.0", "mailbox %s was replaced while it was locked", mailbox->path);
        release(&held);
    }
    release(&held);
}
