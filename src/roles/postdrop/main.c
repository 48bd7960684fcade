/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postdrop: writes one message from standard input into the maildrop. The only program that is
 * installed with a set-group-id bit, so that everybody can submit mail and nobody can read what
 * others submitted. It is a small program of its own, trusts nothing that its caller arranged
 * (descriptors, environment, signals, limits) and leaves no file behind unless it exits 0.
 */
#include "base/file.h"
#include "config/config.h"
#include "drop.h"
#include "mail/user_access.h"
#include "waypost_build.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

static struct drop drop = { .folder_fd = -1, .fd = -1 };

static const char help[] =
    "postdrop: puts a message from standard input into the maildrop; run by sendmail\n"
    "\n"
    "usage: postdrop [-rv] [-c config_dir]\n"
    "\n"
    "  -c DIR      use the configuration in DIR (root, or DIR is in alternate_config_directories)\n"
    "  -r          read sendmail's frames: the only way there is, so it may be left out\n"
    "  -v          accepted, does nothing\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

static int fail(int status, const char *text)
{
    fprintf(stderr, "postdrop: fatal: %s\n", text);
    return status;
}

/* Closed standard descriptors would make the next file we open be standard error. */
static void descriptors_reset(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        _exit(EX_OSERR);
    close_range(STDERR_FILENO + 1, ~0U, 0);
}

static void on_signal(int number)
{
    (void)number;
    drop_remove(&drop);
    _exit(EX_TEMPFAIL);
}

static const int ending_signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
enum { ENDING_SIGNAL_COUNT = sizeof ending_signals / sizeof *ending_signals };

static void signals_reset(void)
{
    struct sigaction ending = { .sa_handler = on_signal };
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL); /* fails for KILL, STOP and libc's own: as it should be */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails with EFBIG instead */
    sigfillset(&ending.sa_mask);
    for (int i = 0; i < ENDING_SIGNAL_COUNT; i++)
        sigaction(ending_signals[i], &ending, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void process_reset(void)
{
    static const struct itimerval no_timer;
    struct rlimit no_core = { 0, 0 };

    descriptors_reset();
    setitimer(ITIMER_REAL, &no_timer, NULL);
    setitimer(ITIMER_VIRTUAL, &no_timer, NULL);
    setitimer(ITIMER_PROF, &no_timer, NULL);
    signals_reset();
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    umask(077);
}

static bool may_choose_configuration(void)
{
    return getuid() == 0 || (getuid() == geteuid() && getgid() == getegid());
}

/* Only root and a program without borrowed rights may name any folder; others must be listed in
 * the default configuration. */
static bool folder_check(const char *folder, struct error *error)
{
    struct config_source source = { 0 };
    struct config *config = NULL;
    bool is_listed = false;

    if (strcmp(folder, WAYPOST_CONFIG_DIRECTORY) == 0 || may_choose_configuration())
        return true;
    if (config_source_read(WAYPOST_CONFIG_DIRECTORY, NULL, NULL, &source, error) &&
        (config = config_new(&source, NULL, NULL, NULL, error)) != NULL) {
        struct str lists[] = { config->alternate_config_directories,
                               config->multi_instance_directories };
        struct str word;
        for (size_t i = 0; i < 2; i++)
            while (str_next_word(&lists[i], ", \t\r\n", &word))
                is_listed |= str_equal(word, str_from(folder));
        if (!is_listed)
            error_set(error,
                      "unauthorized configuration directory name; put "
                      "\"alternate_config_directories = DIRECTORY\" into %s/main.cf",
                      WAYPOST_CONFIG_DIRECTORY);
    }
    config_free(&config);
    config_source_free(&source);
    return is_listed;
}

static enum drop_outcome receive_with(const struct config *config, struct error *error)
{
    autoclear_arena struct arena arena = { 0 };
    const char *maildrop = arena_printf(&arena, "%.*s/maildrop", STR_ARGS(config->queue_directory));

    switch (user_access_check_caller(config, USER_RIGHT_SUBMIT, error)) {
    case USER_ALLOWED:
        break;
    case USER_FORBIDDEN:
        return DROP_FORBIDDEN;
    case USER_UNCLEAR:
        return DROP_TRY_AGAIN;
    }
    enum drop_outcome outcome =
        drop_open(&drop, maildrop, (uint64_t)config->message_size_limit, error);
    return outcome == DROP_OK ? drop_receive(&drop, STDIN_FILENO, error) : outcome;
}

static enum drop_outcome receive(const char *folder, struct error *error)
{
    struct config_source source = { 0 };
    struct config *config = NULL;
    enum drop_outcome outcome = DROP_TRY_AGAIN;

    if (config_source_read(folder, NULL, NULL, &source, error) &&
        (config = config_new(&source, NULL, NULL, NULL, error)) != NULL)
        outcome = receive_with(config, error);
    config_free(&config);
    config_source_free(&source);
    return outcome;
}

static const int statuses[] = {
    [DROP_OK] = EX_OK,
    [DROP_FORBIDDEN] = EX_NOPERM,
    [DROP_REFUSED] = EX_DATAERR,
    [DROP_TRY_AGAIN] = EX_TEMPFAIL,
};

static int run(const char *folder)
{
    struct error error = { 0 };
    sigset_t all;

    if (!folder_check(folder, &error))
        return fail(EX_CONFIG, error.message);
    enum drop_outcome outcome = receive(folder, &error);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    if (outcome == DROP_OK)
        outcome = drop_finish(&drop, &error);
    if (outcome == DROP_OK)
        return EX_OK;
    drop_remove(&drop);
    return fail(statuses[outcome], error.message);
}

static int usage(void)
{
    return fail(EX_USAGE, "usage: postdrop [-rv] [-c config_dir]");
}

int main(int argc, char **argv)
{
    /* A copy in the stack's place: the environment is emptied before anything reads it. */
    char folder[4096] = WAYPOST_CONFIG_DIRECTORY;
    const char *chosen = getenv("MAIL_CONFIG"); /* folder_check decides */
    int option;

    process_reset();
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return fputs(help, stdout) < 0;
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return printf("postdrop (waypost) %s\n", WAYPOST_VERSION) < 0;
    opterr = 0;
    while (argc > 0 && (option = getopt(argc, argv, "+c:rv")) != -1) {
        if (option == 'c')
            chosen = optarg;
        else if (option == '?')
            return usage();
    }
    if (argc > 0 && optind < argc)
        return usage();
    if (chosen != NULL && strlen(chosen) >= sizeof folder)
        return fail(EX_CONFIG, "the configuration directory's name is too long");
    if (chosen != NULL)
        memcpy(folder, chosen, strlen(chosen) + 1);
    clearenv();
    return run(folder);
}
