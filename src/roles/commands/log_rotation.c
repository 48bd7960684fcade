/* SPDX-License-Identifier: Apache-2.0 */
#include "log_rotation.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    REOPEN_WAIT_MS = 20 * 1000,
    REOPEN_POLL_MS = 20,
    /* The process that wrote the older file still puts down what it had read. */
    LAST_LINES_MS = 1000,
    SUFFIX_BYTES_MAX = 200,
};

extern char **environ;

static bool must_have(struct str value, const char *name, struct error *error)
{
    return !str_is_empty(value) || error_set(error, "%s is empty; set it in main.cf", name);
}

/* The administrator's format: strftime bounds what it gives. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static bool format_now(const char *format, char *out, size_t size)
{
    time_t now_s = (time_t)(clock_wall_ms() / 1000);
    struct tm local;

    localtime_r(&now_s, &local);
    return strftime(out, size, format, &local) > 0;
}
#pragma GCC diagnostic pop

static const char *new_name(struct arena *arena, const struct config *config, struct error *error)
{
    char suffix[SUFFIX_BYTES_MAX];
    const char *format = arena_text(arena, config->maillog_file_rotate_suffix);

    if (!format_now(format, suffix, sizeof suffix)) {
        error_set(error, "maillog_file_rotate_suffix \"%s\" gives no text, or too much", format);
        return NULL;
    }
    return arena_printf(arena, "%.*s.%s", STR_ARGS(config->maillog_file), suffix);
}

/* Nothing that is there is written over. */
static bool set_aside(const char *path, const char *to, struct error *error)
{
    if (renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return true;
    return error_errno(error, "rename %s to %s", path, to);
}

static bool wait_for_new_file(const char *path, const char *old, struct error *error)
{
    int64_t deadline_ms = clock_monotonic_ms() + REOPEN_WAIT_MS;

    while (access(path, F_OK) != 0) {
        if (clock_monotonic_ms() > deadline_ms)
            return error_set(error,
                             "the mail system has not opened a new %s; it still writes to %s "
                             "(postfix reload)",
                             path, old);
        usleep(REOPEN_POLL_MS * 1000);
    }
    usleep(LAST_LINES_MS * 1000);
    return true;
}

static bool compress(const char *compressor, const char *path, struct error *error)
{
    char *const arguments[] = { (char *)(uintptr_t)compressor, (char *)(uintptr_t)path, NULL };
    pid_t pid;
    int status;

    errno = posix_spawnp(&pid, compressor, NULL, NULL, arguments, environ);
    if (errno != 0)
        return error_errno(error, "maillog_file_compressor: run %s; %s stays as it is", compressor,
                           path);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_errno(error, "wait for %s", compressor);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    return error_set(error, "maillog_file_compressor: %s failed on %s", compressor, path);
}

bool log_rotate(const struct config *config, pid_t master, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    const char *path = arena_text(&scratch, config->maillog_file);

    if (!must_have(config->maillog_file, "maillog_file", error) ||
        !must_have(config->maillog_file_compressor, "maillog_file_compressor", error) ||
        !must_have(config->maillog_file_rotate_suffix, "maillog_file_rotate_suffix", error))
        return false;
    if (str_starts_with(config->maillog_file, STR("/dev/")))
        return error_set(error, "not rotating '%s'", path);
    const char *old = new_name(&scratch, config, error);
    if (old == NULL || !set_aside(path, old, error))
        return false;
    if (master > 0) {
        if (kill(master, SIGHUP) < 0)
            return error_errno(error, "tell the mail system (process %d) to open a new log",
                               (int)master);
        if (!wait_for_new_file(path, old, error))
            return false;
    }
    return compress(arena_text(&scratch, config->maillog_file_compressor), old, error);
}
