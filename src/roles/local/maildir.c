/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_passing(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EIO || code == EROFS || code == ESTALE ||
           code == EAGAIN || code == ENOMEM || code == EMFILE || code == ENFILE;
}

static void set_failure(struct outcome *outcome, int code, const char *what, const char *path)
{
    const char *dsn = code == EDQUOT     ? "4.2.2"
                      : code == EFBIG    ? "5.2.2"
                      : is_passing(code) ? "4.3.0"
                                         : "5.2.0";

    outcome_set(outcome, dsn, "%s %s: %s", what, path, strerror(code));
}

static bool make_folder(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* The maildir with its three folders, and what is missing above it. */
static bool make_folders(struct arena *arena, const char *maildir)
{
    static const char *const parts[] = { "tmp", "new", "cur" };
    struct str whole = str_from(maildir);

    for (size_t i = 1; i < whole.len; i++)
        if (maildir[i] == '/' && !make_folder(arena_text(arena, str_take(whole, i))))
            return false;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!make_folder(arena_printf(arena, "%s%s", maildir, parts[i])))
            return false;
    return true;
}

static int open_draft(struct arena *arena, const char *maildir, const char *draft)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(draft, flags, 0600);

    if (fd < 0 && errno == ENOENT && make_folders(arena, maildir))
        fd = open(draft, flags, 0600);
    return fd;
}

/* The name is as good as unique: time, file and microsecond; a link never replaces what is there.
 */
static bool publish(const struct mailbox *mailbox, struct arena *arena, const char *draft, int fd,
                    struct outcome *outcome)
{
    struct stat status;
    int64_t now_us = clock_wall_us();
    struct error error = { 0 };

    if (fstat(fd, &status) < 0) {
        set_failure(outcome, errno, "fstat", draft);
        return false;
    }
    const char *final = arena_printf(arena, "%snew/%lld.V%lxI%lxM%lld.%s", mailbox->path,
                                     (long long)(now_us / 1000000), (unsigned long)status.st_dev,
                                     (unsigned long)status.st_ino, (long long)(now_us % 1000000),
                                     mailbox->host_name);
    if (access(final, F_OK) == 0) {
        set_failure(outcome, EAGAIN, "create maildir file", final);
        return false;
    }
    if (!rename_durably(draft, final, &error)) {
        outcome_set(outcome, is_passing(error.system_errno) ? "4.3.0" : "5.2.0",
                    "maildir delivery failed: %s", error.message);
        return false;
    }
    outcome_set(outcome, "2.0.0", "delivered to maildir");
    return true;
}

void maildir_add(const struct mailbox *mailbox, struct outcome *outcome)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf bytes = { 0 };
    struct copy copy = mailbox->copy;
    struct error error = { 0 };
    const char *draft =
        arena_printf(&arena, "%stmp/%lld.P%d.%s", mailbox->path, (long long)clock_wall_ms() / 1000,
                     (int)getpid(), mailbox->host_name);
    autoclose int fd = open_draft(&arena, mailbox->path, draft);

    if (fd < 0) {
        set_failure(outcome, errno, "create maildir file", draft);
        outcome_prepend(outcome, "maildir delivery failed: ");
        return;
    }
    copy.flags = COPY_MAILDIR & ~(mailbox->has_delivered_to ? 0u : (unsigned)COPY_DELIVERED);
    copy.eol = STR("\n");
    copy_format(&copy, &bytes);
    if (mailbox->size_limit_bytes > 0 && bytes.len > (uint64_t)mailbox->size_limit_bytes) {
        set_failure(outcome, EFBIG, "error writing message", "");
    } else if (!fd_write_all(fd, buf_str(&bytes), draft, &error) || !fd_sync(fd, draft, &error)) {
        set_failure(outcome, error.system_errno, "error writing message", draft);
    } else if (publish(mailbox, &arena, draft, fd, outcome)) {
        return;
    }
    unlink(draft);
}
