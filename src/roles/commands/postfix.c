/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postfix(1): start, stop and look after the mail system. Everything it says goes to standard
 * error with Postfix's tags; the exit status is 0 for success.
 */
#include "check.h"
#include "commands.h"
#include "log_rotation.h"
#include "tool.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "service/spool.h"
#include "waypost_build.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    START_WAIT_MS = 60 * 1000,
    STOP_WAIT_MS = 20 * 1000,
    STOP_POLL_MS = 20,
    REPORT_BYTES_MAX = 1024,
};

struct control {
    const char *folder; /* the configuration directory */
    int verbosity;
    struct log_context log_context; /* "postfix/postfix-script", to standard error */
    struct config_source source;
    struct config *config;
    bool is_quiet; /* whoever calls says what there is to say of the configuration */
};

static void warn(void *argument, const char *text)
{
    struct control *control = argument;

    if (!control->is_quiet)
        log_warning(&control->log_context, "%s", text);
}

static int fatal(const struct control *control, const struct error *error)
{
    log_fatal(&control->log_context, "%s", error->message);
    return EXIT_FAILURE;
}

static bool read_configuration(struct control *control, struct error *error)
{
    if (!config_source_read(control->folder, warn, control, &control->source, error))
        return false;
    control->config = config_new(&control->source, NULL, warn, control, error);
    return control->config != NULL;
}

/* Also where the configuration has a mistake that only came in after the start: then the plain
 * value in main.cf, or Postfix's default. */
static struct str queue_directory(const struct control *control)
{
    if (control->config != NULL)
        return control->config->queue_directory;
    const struct main_cf_assignment *found =
        main_cf_find(&control->source.main_cf, STR("queue_directory"));
    return found != NULL ? found->value : STR("/var/spool/postfix");
}

/* The master's process id; false (said to the user) when it does not run. */
static bool find_master(struct control *control, pid_t *pid, int *status)
{
    struct error error;

    *status = EXIT_FAILURE;
    if (!read_configuration(control, &error))
        log_warning(&control->log_context, "%s", error.message);
    switch (spool_is_running(queue_directory(control), pid, &error)) {
    case SPOOL_RUNNING:
        return true;
    case SPOOL_STOPPED:
        log_fatal(&control->log_context, "the Postfix mail system is not running");
        return false;
    case SPOOL_UNKNOWN:
        fatal(control, &error);
        return false;
    }
    return false;
}

static int send_signal(struct control *control, pid_t pid, int number)
{
    if (kill(pid, number) == 0)
        return EXIT_SUCCESS;
    log_fatal(&control->log_context, "signal the mail system (process %d): %s", (int)pid,
              strerror(errno));
    return EXIT_FAILURE;
}

/* ---- check ---- */

static void say_created(void *argument, const char *path)
{
    struct control *control = argument;

    log_info(&control->log_context, "created %s", path);
}

/* Each service's overrides must make a configuration that is as good as main.cf's. */
static bool check_services(struct control *control, struct error *error)
{
    for (size_t i = 0; i < control->source.master_cf.count; i++) {
        const struct master_service *line = &control->source.master_cf.services[i];
        struct config *config = config_new(&control->source, line, NULL, NULL, error);
        if (config == NULL)
            return error_context(error, "%s, line %d", line->file, line->line);
        config_free(&config);
    }
    return true;
}

static bool check(struct control *control, struct error *error)
{
    struct spool_owner owner;

    return read_configuration(control, error) && check_services(control, error) &&
           spool_owner_find(control->config, &owner, error) &&
           spool_prepare(control->config, &owner, say_created, control, error);
}

static enum severity severity_of(enum check_level level)
{
    return level == CHECK_ERROR ? SEVERITY_ERROR : SEVERITY_WARNING;
}

/* What can be read and yet does not do what it seems to; false where that is an error. Also into
 * the mail log where `is_logged`, without the hints. */
static bool say_findings(struct control *control, bool is_logged)
{
    struct tool tool = {
        .name = "postfix", .source = control->source, .config = control->config, .log_fd = -1
    };
    struct check findings = { 0 };

    check_run(&findings, &control->source, control->config);
    for (const struct check_finding *each = findings.first; each != NULL; each = each->next) {
        const char *text = check_finding_text(&findings, each);
        log_write(&control->log_context, severity_of(each->level), "%s", text);
        if (is_logged && each->level != CHECK_HINT)
            tool_log(&tool, "postfix/postfix-script", severity_of(each->level), str_from(text));
    }
    bool is_good = findings.count[CHECK_ERROR] == 0;
    check_clear(&findings);
    return is_good;
}

static int on_check(struct control *control)
{
    struct error error;

    control->is_quiet = true;
    if (!check(control, &error))
        return fatal(control, &error);
    return say_findings(control, false) ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- start ---- */

/* The master tells through the pipe: "ok", or why it could not start. */
static bool wait_for_report(int fd, struct error *error)
{
    char report[REPORT_BYTES_MAX];
    int64_t deadline_ms = clock_monotonic_ms() + START_WAIT_MS;
    size_t len = 0;

    while (len < sizeof report) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        if (left_ms <= 0)
            return error_set(error,
                             "the mail system does not come up within %d seconds; its log "
                             "says more",
                             START_WAIT_MS / 1000);
        if (poll(&poll_fd, 1, (int)left_ms) <= 0)
            continue;
        ssize_t count = read(fd, report + len, sizeof report - len);
        if (count <= 0)
            break;
        len += (size_t)count;
    }
    if (str_equal(str_of(report, len), STR("ok")))
        return true;
    if (len == 0)
        return error_set(error, "the mail system ended while it started; its log says more");
    return error_set(error, "%.*s", (int)len, report);
}

static void exec_master(const struct control *control, int ready_fd)
{
    autoclear_arena struct arena scratch = { 0 };

    execl("/proc/self/exe", "waypost", "role", "master", "-c", control->folder, "-r",
          arena_printf(&scratch, "%d", ready_fd), (char *)NULL);
}

/* The master's standard streams are not ours: a closed terminal, or a pipe that somebody reads to
 * its end, must not matter. What it has to say until the log is open comes through the report. */
static void detach(void)
{
    int null = open("/dev/null", O_RDWR);

    setsid();
    if (null < 0)
        return;
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    if (null > STDERR_FILENO)
        close(null);
}

static bool start_detached(const struct control *control, struct error *error)
{
    int report[2];

    if (pipe2(report, 0) < 0)
        return error_errno(error, "create a pipe");
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(error, "fork");
    if (pid == 0) {
        close(report[0]);
        detach();
        exec_master(control, report[1]);
        _exit(EXIT_FAILURE);
    }
    close(report[1]);
    autoclose int fd = report[0];
    return wait_for_report(fd, error);
}

static bool must_be_stopped(const struct control *control, struct error *error)
{
    pid_t pid;

    switch (spool_is_running(queue_directory(control), &pid, error)) {
    case SPOOL_STOPPED:
        return true;
    case SPOOL_RUNNING:
        return error_set(error, "the Postfix mail system is already running");
    case SPOOL_UNKNOWN:
        return false;
    }
    return false;
}

static int on_start(struct control *control)
{
    struct error error;

    control->is_quiet = true;
    if (!check(control, &error) || !must_be_stopped(control, &error))
        return fatal(control, &error);
    say_findings(control, true);
    log_info(&control->log_context, "starting the Postfix mail system");
    if (!start_detached(control, &error))
        return fatal(control, &error);
    return EXIT_SUCCESS;
}

static int on_start_foreground(struct control *control)
{
    struct error error;

    control->is_quiet = true;
    if (!check(control, &error) || !must_be_stopped(control, &error))
        return fatal(control, &error);
    say_findings(control, true);
    log_info(&control->log_context, "starting the Postfix mail system");
    exec_master(control, -1);
    error_errno(&error, "execute the mail system");
    return fatal(control, &error);
}

/* ---- stop and others ---- */

static int stop(struct control *control, int number, const char *what)
{
    struct error error;
    pid_t pid;
    int status;

    if (!find_master(control, &pid, &status))
        return status;
    log_info(&control->log_context, "%s the Postfix mail system", what);
    if (send_signal(control, pid, number) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    int64_t deadline_ms = clock_monotonic_ms() + STOP_WAIT_MS;
    while (spool_is_running(queue_directory(control), &pid, &error) == SPOOL_RUNNING) {
        if (clock_monotonic_ms() > deadline_ms) {
            log_fatal(&control->log_context,
                      "the mail system (process %d) still stops; \"postfix abort\" ends it at once",
                      (int)pid);
            return EXIT_FAILURE;
        }
        usleep(STOP_POLL_MS * 1000);
    }
    return EXIT_SUCCESS;
}

static int on_stop(struct control *control)
{
    return stop(control, SIGTERM, "stopping");
}

static int on_abort(struct control *control)
{
    return stop(control, SIGQUIT, "aborting");
}

static int on_reload(struct control *control)
{
    pid_t pid;
    int status;

    if (!find_master(control, &pid, &status))
        return status;
    if (control->config == NULL) {
        log_fatal(&control->log_context, "not reloading: mend the configuration first (above)");
        return EXIT_FAILURE;
    }
    log_info(&control->log_context, "refreshing the Postfix mail system");
    return send_signal(control, pid, SIGHUP);
}

static int on_flush(struct control *control)
{
    pid_t pid;
    int status;

    if (!find_master(control, &pid, &status))
        return status;
    return send_signal(control, pid, SIGUSR2);
}

static int on_status(struct control *control)
{
    pid_t pid;
    int status;

    if (!find_master(control, &pid, &status))
        return status;
    log_info(&control->log_context, "the Postfix mail system is running: PID: %d", (int)pid);
    if (control->verbosity == 0)
        return EXIT_SUCCESS;
    log_info(
        &control->log_context,
        "every role writes what it does at this moment to the mail log (look for \"status:\")");
    return send_signal(control, pid, SIGUSR1);
}

/* ---- files ---- */

static int on_logrotate(struct control *control)
{
    struct error error;
    pid_t pid = 0;

    if (!read_configuration(control, &error) ||
        spool_is_running(queue_directory(control), &pid, &error) == SPOOL_UNKNOWN ||
        !log_rotate(control->config, pid, &error))
        return fatal(control, &error);
    return EXIT_SUCCESS;
}

/* The folders; and postdrop, through which everybody submits. */
static int on_set_permissions(struct control *control)
{
    autoclear_arena struct arena scratch = { 0 };
    struct spool_owner owner;
    struct error error;

    if (!check(control, &error) || !spool_owner_find(control->config, &owner, &error))
        return fatal(control, &error);
    const char *postdrop =
        arena_printf(&scratch, "%.*s/postdrop", STR_ARGS(control->config->command_directory));
    if (chown(postdrop, 0, owner.drop_gid) < 0 || chmod(postdrop, 02755) < 0) {
        error_errno(&error, "give %s its group and mode", postdrop);
        return fatal(control, &error);
    }
    return EXIT_SUCCESS;
}

static int on_upgrade_configuration(struct control *control)
{
    struct error error;

    if (!read_configuration(control, &error))
        return fatal(control, &error);
    log_info(&control->log_context,
             "nothing to upgrade: this version works with the configuration as it stands");
    return EXIT_SUCCESS;
}

static int not_yet(struct control *control)
{
    log_fatal(&control->log_context, "this is not built yet");
    return EX_UNAVAILABLE;
}

static const struct {
    const char *name;
    int (*run)(struct control *control);
} actions[] = {
    { "start", on_start },
    { "start-fg", on_start_foreground },
    { "stop", on_stop },
    { "abort", on_abort },
    { "reload", on_reload },
    { "flush", on_flush },
    { "status", on_status },
    { "check", on_check },
    { "logrotate", on_logrotate },
    { "set-permissions", on_set_permissions },
    { "upgrade-configuration", on_upgrade_configuration },
    { "tls", not_yet },
};

const char postfix_help[] = "usage: postfix [-c config_directory] [-v] command\n"
                            "\n"
                            "commands:\n"
                            "  start       start the mail system in the background\n"
                            "  start-fg    start it in the foreground\n"
                            "  stop        finish what is in flight and stop\n"
                            "  abort       stop at once; nothing accepted is lost\n"
                            "  reload      take over a changed configuration\n"
                            "  flush       try all deferred mail now\n"
                            "  status      say whether it runs; with -v, log what it does\n"
                            "  check       look for mistakes in the configuration\n"
                            "  logrotate   rename and compress maillog_file, open a new one\n"
                            "  set-permissions        give folders and postdrop their owners\n"
                            "  upgrade-configuration  nothing is needed: says so\n"
                            "\n"
                            "options:\n"
                            "  -c DIR      the configuration directory (default: $MAIL_CONFIG, or\n"
                            "              " WAYPOST_CONFIG_DIRECTORY ")\n"
                            "  -D          accepted for compatibility\n"
                            "  -v          say more\n";

static int run_action(struct control *control, const char *name)
{
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (strcmp(actions[i].name, name) == 0)
            return actions[i].run(control);
    log_fatal(&control->log_context, "unknown command: \"%s\"; \"postfix --help\" lists them",
              name);
    return EX_USAGE;
}

int postfix_main(int argc, char **argv)
{
    struct control control = { .folder = getenv("MAIL_CONFIG") };
    struct log *log = log_new_stderr();

    control.log_context = (struct log_context){ log, STR("postfix/postfix-script") };
    if (control.folder == NULL || *control.folder == '\0')
        control.folder = WAYPOST_CONFIG_DIRECTORY;
    for (int option; (option = getopt(argc, argv, "c:Dv")) != -1;) {
        if (option == 'c') {
            control.folder = optarg;
        } else if (option == 'v') {
            control.verbosity++;
        } else if (option != 'D') {
            fputs(postfix_help, stderr);
            return EX_USAGE;
        }
    }
    if (optind + 1 != argc) {
        fputs(postfix_help, stderr);
        return EX_USAGE;
    }
    int status = run_action(&control, argv[optind]);
    config_free(&control.config);
    config_source_free(&control.source);
    log_free(&log);
    return status;
}
