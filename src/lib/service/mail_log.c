/* SPDX-License-Identifier: Apache-2.0 */
#include "service/mail_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* It may only name places that the administrator allowed: see postconf(5),
 * maillog_file_prefixes. */
static bool is_allowed(const struct config *config)
{
    struct str rest = config->maillog_file_prefixes, prefix;

    while (str_next_word(&rest, ", \t\r\n", &prefix))
        if (str_starts_with(config->maillog_file, prefix))
            return true;
    return false;
}

static bool parse_mode(struct str text, mode_t *mode, struct error *error)
{
    static const struct {
        const char *text;
        mode_t mode;
    } modes[] = { { "600", 0600 }, { "640", 0640 }, { "644", 0644 } };
    struct str digits = str_starts_with(text, STR("0")) ? str_skip(text, 1) : text;

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (str_equal(digits, str_from(modes[i].text))) {
            *mode = modes[i].mode;
            return true;
        }
    return error_set(error, "maillog_file_permissions: \"%.*s\" is none of 0600, 0640, 0644",
                     STR_ARGS(text));
}

/* Whatever the umask is. */
static int open_or_make(const char *path, mode_t mode)
{
    enum { FLAGS = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY };
    int fd = open(path, FLAGS);

    if (fd >= 0 || errno != ENOENT)
        return fd;
    fd = open(path, FLAGS | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return errno == EEXIST ? open(path, FLAGS) : -1;
    return fchmod(fd, mode) == 0 ? fd : (close(fd), -1);
}

int mail_log_open(const struct config *config, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    const char *path = arena_text(&scratch, config->maillog_file);
    mode_t mode;

    if (!is_allowed(config)) {
        error_set(error,
                  "maillog_file %s is outside of maillog_file_prefixes (%.*s); add its folder "
                  "there",
                  path, STR_ARGS(config->maillog_file_prefixes));
        return -1;
    }
    if (!parse_mode(config->maillog_file_permissions, &mode, error))
        return -1;
    int fd = open_or_make(path, mode);
    if (fd < 0)
        error_errno(error, "maillog_file: open %s", path);
    return fd;
}
