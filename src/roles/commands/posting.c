/* SPDX-License-Identifier: Apache-2.0 */
#include "posting.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { GATHER_BYTES = 64 * 1024 };

/* The one beside us belongs to this version; otherwise where the configuration has it. */
static const char *postdrop_path(struct arena *arena, const struct config *config)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self);

    if (len > 0 && len < (ssize_t)sizeof self) {
        struct str folder = str_of(self, (size_t)len);
        folder = str_take(folder, (size_t)(str_find_last_byte(folder, '/') + 1));
        const char *path = arena_printf(arena, "%.*spostdrop", STR_ARGS(folder));
        if (access(path, X_OK) == 0)
            return path;
    }
    return arena_printf(arena, "%.*s/postdrop", STR_ARGS(config->command_directory));
}

static _Noreturn void run_postdrop(const char *path, const char *folder, int input)
{
    if (dup2(input, STDIN_FILENO) < 0)
        _exit(EX_OSERR);
    execl(path, "postdrop", "-r", "-c", folder, (char *)NULL);
    fprintf(stderr, "sendmail: fatal: cannot run %s: %s\n", path, strerror(errno));
    _exit(EX_OSFILE);
}

bool posting_open(struct posting *posting, const struct config *config, struct error *error)
{
    struct arena scratch = { 0 };
    int ends[2];

    *posting = (struct posting){ .fd = -1 };
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(error, "make a pipe");
    const char *path = postdrop_path(&scratch, config);
    const char *folder = arena_text(&scratch, config->source->folder);
    posting->process = fork();
    if (posting->process == 0)
        run_postdrop(path, folder, ends[0]);
    arena_clear(&scratch);
    close(ends[0]);
    posting->fd = ends[1];
    if (posting->process > 0)
        return true;
    fd_close(&posting->fd);
    return error_errno(error, "start postdrop");
}

static bool send_frame(struct posting *posting, enum maildrop_frame_kind kind, struct str bytes)
{
    unsigned char header[MAILDROP_FRAME_HEADER_BYTES];
    struct error error;

    maildrop_frame_header_encode(kind, (uint32_t)bytes.len, header);
    return fd_write_all(posting->fd, str_of((const char *)header, sizeof header), "postdrop",
                        &error) &&
           fd_write_all(posting->fd, bytes, "postdrop", &error);
}

static bool flush(struct posting *posting)
{
    struct str bytes = buf_str(&posting->gathered);
    bool is_sent = bytes.len == 0 || send_frame(posting, MAILDROP_FRAME_CONTENT, bytes);

    buf_clear(&posting->gathered);
    return is_sent;
}

bool posting_add(struct posting *posting, struct str content)
{
    buf_append(&posting->gathered, content);
    if (posting->gathered.len < GATHER_BYTES)
        return true;
    /* A line may be longer than a frame. */
    while (posting->gathered.len > MAILDROP_FRAME_MAX) {
        struct str bytes = str_take(buf_str(&posting->gathered), MAILDROP_FRAME_MAX);
        if (!send_frame(posting, MAILDROP_FRAME_CONTENT, bytes))
            return false;
        buf_consume(&posting->gathered, MAILDROP_FRAME_MAX);
    }
    return flush(posting);
}

static int wait_status(struct posting *posting, struct error *error)
{
    int status;
    pid_t ended;

    fd_close(&posting->fd);
    buf_free(&posting->gathered);
    do {
        ended = waitpid(posting->process, &status, 0);
    } while (ended < 0 && errno == EINTR);
    if (ended >= 0 && WIFEXITED(status))
        return WEXITSTATUS(status);
    error_set(error, "postdrop was killed; nothing was queued");
    return EX_TEMPFAIL;
}

int posting_finish(struct posting *posting, const struct maildrop_envelope *envelope,
                   struct error *error)
{
    autofree_buf struct buf bytes = { 0 };
    sigset_t all, before;

    error->message[0] = '\0';
    if (!maildrop_envelope_check(envelope, error)) {
        posting_abort(posting);
        return EX_DATAERR;
    }
    maildrop_envelope_encode(envelope, &bytes);
    if (bytes.len > MAILDROP_ENVELOPE_MAX) {
        posting_abort(posting);
        error_set(error, "the recipients are too many for one message");
        return EX_DATAERR;
    }
    /* From here on the message may become queued: whoever signals us gets the true answer. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    bool is_sent = flush(posting) && send_frame(posting, MAILDROP_FRAME_ENVELOPE, buf_str(&bytes));
    int status = wait_status(posting, error);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status == EX_OK && !is_sent ? EX_TEMPFAIL : status;
}

void posting_abort(struct posting *posting)
{
    struct error ignored;

    if (posting->fd < 0)
        return;
    kill(posting->process, SIGTERM); /* it removes its draft and ends without a word */
    wait_status(posting, &ignored);
}
