/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

enum { OUTPUT_BYTES_MAX = 4096, ARGUMENTS_MAX = 1024 };

/* What only a shell can do has one of these words first. */
static const char *const builtins[] = { "if", "for", "while",  "until", "case",  "exec", "eval",
                                        "cd", "set", "export", "trap",  "umask", ":",    "." };

bool command_is_plain(struct str text)
{
    static const struct str plain =
        STR_INIT("1234567890!@%-_=+:,./ \tabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    struct str rest = text, first;

    for (size_t i = 0; i < text.len; i++)
        if (memchr(plain.ptr, text.ptr[i], plain.len) == NULL)
            return false;
    if (!str_next_word(&rest, " \t", &first))
        return false;
    for (size_t i = 0; i < sizeof builtins / sizeof builtins[0]; i++)
        if (str_equal(first, str_from(builtins[i])))
            return false;
    return true;
}

/* ---- in the child ---- */

static void split(struct arena *arena, struct str text, const char **words, size_t *count)
{
    struct str word;

    while (*count < ARGUMENTS_MAX && str_next_word(&text, " \t", &word))
        words[(*count)++] = arena_text(arena, word);
    words[*count] = NULL;
}

static int exec_failed(const char *what)
{
    int code = errno;
    dprintf(STDERR_FILENO, "cannot execute %s: %s", what, strerror(code));
    return code == ENOENT || code == EACCES || code == ENOTDIR || code == ELOOP ? 127 : EX_TEMPFAIL;
}

/* Returns where it cannot be, with errno. */
static void try_words(const char *const *words, const char *const *environment)
{
    char path[] = _PATH_DEFPATH;
    struct str rest = str_from(path);

    if (strchr(words[0], '/') != NULL) {
        execve(words[0], (char *const *)(uintptr_t)words, (char *const *)(uintptr_t)environment);
        return;
    }
    while (rest.len > 0) {
        char file[4096];
        struct str folder = str_cut(&rest, ":");
        snprintf(file, sizeof file, "%.*s/%s", STR_ARGS(folder), words[0]);
        execve(file, (char *const *)(uintptr_t)words, (char *const *)(uintptr_t)environment);
        if (errno != ENOENT && errno != EACCES && errno != ENOTDIR)
            break;
    }
}

static int exec_words(const char *const *words, const char *const *environment)
{
    try_words(words, environment);
    return exec_failed(words[0]);
}

static int exec_text(const struct command *command)
{
    struct arena arena = { 0 };
    const char **words = arena_new_array(&arena, ARGUMENTS_MAX + 2, sizeof *words);
    size_t count = 0;

    if (command->shell[0] != '\0') {
        split(&arena, str_from(command->shell), words, &count);
        words[count] = command->text;
        words[count + 1] = NULL;
        return exec_words(words, command->environment);
    }
    if (command_is_plain(str_from(command->text))) {
        split(&arena, str_from(command->text), words, &count);
        try_words(words, command->environment);
        if (errno != ENOENT || strchr(words[0], '/') != NULL)
            return exec_failed(words[0]);
        /* perhaps the shell has it built in */
    }
    const char *const by_shell[] = { "sh", "-c", command->text, NULL };
    execve(_PATH_BSHELL, (char *const *)(uintptr_t)by_shell,
           (char *const *)(uintptr_t)command->environment);
    return exec_failed(_PATH_BSHELL);
}

/* A file in memory: the program may read it or not, at any pace. */
static bool give_message(const struct copy *copy)
{
    struct buf bytes = { 0 };
    struct error error;
    int fd = memfd_create("message", MFD_CLOEXEC);

    if (fd < 0)
        return false;
    copy_format(copy, &bytes);
    return fd_write_all(fd, buf_str(&bytes), "message", &error) && lseek(fd, 0, SEEK_SET) == 0 &&
           dup2(fd, STDIN_FILENO) >= 0;
}

static bool enter_folder(const struct command *command)
{
    if (command->folder != NULL)
        return chdir(command->folder) == 0;
    return (command->root == NULL && chdir(command->default_folder) == 0) || chdir("/") == 0;
}

static int run_as_user(void *argument, int result_fd)
{
    const struct command *command = argument;

    /* The limit of its output's size is for mailboxes: the message itself must pass. */
    if (!give_message(&command->copy) || dup2(result_fd, STDOUT_FILENO) < 0 ||
        dup2(result_fd, STDERR_FILENO) < 0) {
        dprintf(result_fd, "4.3.0 cannot hand over the message: %s", strerror(errno));
        return EX_TEMPFAIL;
    }
    if (!enter_folder(command)) {
        dprintf(result_fd, "4.3.0 cannot change directory to \"%s\": %s", command->folder,
                strerror(errno));
        return EX_TEMPFAIL;
    }
    if (command->size_limit_bytes > 0) {
        struct rlimit size = { (rlim_t)command->size_limit_bytes,
                               (rlim_t)command->size_limit_bytes };
        setrlimit(RLIMIT_FSIZE, &size);
    }
    signal(SIGXFSZ, SIG_DFL);
    return command->text != NULL ? exec_text(command)
                                 : exec_words(command->arguments, command->environment);
}

/* ---- in the role ---- */

/* One line, printable. */
static struct str clean_output(struct buf *output)
{
    for (size_t i = 0; i < output->len; i++) {
        if (ascii_is_space(output->ptr[i]))
            output->ptr[i] = ' ';
        else if ((unsigned char)output->ptr[i] < 0x20 || output->ptr[i] == 0x7f)
            output->ptr[i] = '_';
    }
    return buf_str(output);
}

static const char *name_of(const struct command *command)
{
    return command->text != NULL ? command->text : command->arguments[0];
}

bool command_run(struct loop *loop, const struct command *command, struct outcome *outcome)
{
    struct child_work work = {
        .rights = command->rights,
        .root = command->root,
        .run = run_as_user,
        .argument = (void *)(uintptr_t)command,
        .limit_ms = command->limit_ms,
        .output_bytes = OUTPUT_BYTES_MAX,
    };
    struct child_result result = { 0 };
    enum child_end end = child_run(loop, &work, &result);
    struct str output = clean_output(&result.output);
    const char *between = output.len > 0 ? ". Command output: " : "";

    switch (end) {
    case CHILD_EXITED:
        if (result.status == CHILD_RIGHTS_FAILED)
            outcome_set(outcome, "4.3.0", "cannot become user %u", (unsigned)command->rights.uid);
        else if (result.status == CHILD_ROOT_FAILED && command->root != NULL)
            outcome_set(outcome, "4.3.0", "cannot change the root directory to \"%s\"",
                        command->root);
        else
            outcome_from_exit(outcome, result.status, name_of(command), output);
        break;
    case CHILD_SIGNALLED:
        outcome_set(outcome, "4.3.0", "Command died with signal %d: \"%s\"%s%.*s", result.status,
                    name_of(command), between, STR_ARGS(output));
        break;
    case CHILD_TIMED_OUT:
        outcome_set(outcome, "5.3.0", "Command time limit exceeded: \"%s\"%s%.*s", name_of(command),
                    between, STR_ARGS(output));
        break;
    case CHILD_NOT_STARTED:
        outcome_set(outcome, "4.3.0", "%s", result.error.message);
        break;
    case CHILD_CANCELLED:
        break;
    }
    buf_free(&result.output);
    return end != CHILD_CANCELLED;
}
