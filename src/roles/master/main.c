/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master: reads the configuration, opens the listening sockets, keeps the roles alive. It
 * never reads a byte of mail. `postfix start` executes it as `waypost role master`.
 */
#include "confine.h"
#include "roles.h"
#include "supervisor.h"
#include "table_watch.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "service/manager.h"
#include "service/spool.h"
#include "waypost_build.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STOP_DRAIN_MS = 5000,
    LOG_AGAIN_MS = 10,
    DATAGRAM_BUFFER_BYTES = 4 * 1024 * 1024,
};

struct master {
    const char *folder;
    int ready_fd; /* told "ok" or why not; -1 when nobody waits */
    struct loop *loop;
    struct log *log;
    struct log_context log_context;
    struct before_sleep flush_log;
    struct timer log_again;
    struct timer alive; /* for a service manager that watches us */
    int log_read_fd, log_write_fd;
    int lock_fd;
    struct config_source *source;
    struct config *config;
    /* What was in force before, until all roles are ready with the new one; or NULL. */
    struct config_source *source_before;
    struct config *config_before;
    struct sockets sockets;
    struct supervisor *supervisor;
    struct table_watch *table_watch;
    struct arena arena;
    int exit_status;
};

/* Whoever started us waits for this: "" = the system is up, otherwise why it is not. */
static void tell_starter(struct master *master, const char *reason)
{
    struct error error;

    if (master->ready_fd < 0)
        return;
    if (!fd_write_all(master->ready_fd, *reason == '\0' ? STR("ok") : str_from(reason),
                      "the start-up report", &error))
        log_warning(&master->log_context, "%s", error.message);
    fd_close(&master->ready_fd);
}

static void warn(void *argument, const char *text)
{
    struct master *master = argument;

    log_warning(&master->log_context, "%s", text);
}

/* ---- configuration ---- */

static bool read_configuration(struct master *master, struct config_source **source,
                               struct config **config, struct error *error)
{
    *source = memory_new(sizeof **source);
    if (!config_source_read(master->folder, warn, master, *source, error)) {
        memory_free(*source);
        *source = NULL;
        return false;
    }
    *config = config_new(*source, NULL, warn, master, error);
    if (*config != NULL)
        return true;
    config_source_free(*source);
    memory_free(*source);
    *source = NULL;
    return false;
}

static void forget_configuration(struct config_source **source, struct config **config)
{
    config_free(config);
    if (*source == NULL)
        return;
    config_source_free(*source);
    memory_free(*source);
    *source = NULL;
}

static void name_log(struct master *master)
{
    const char *tag =
        arena_printf(&master->arena, "%.*s/master", STR_ARGS(master->config->syslog_name));

    master->log_context.tag = str_from(tag);
}

/* Nothing of the configuration in force is touched before all of the new one has proved good. */
static bool apply_new(struct master *master, struct config_source *source, struct config *config,
                      struct error *error)
{
    struct spool_owner owner;
    struct sockets sockets;

    if (!spool_owner_find(config, &owner, error) ||
        !spool_prepare(config, &owner, NULL, NULL, error) ||
        !sockets_open(source, config, &master->sockets, &sockets, error))
        return false;
    if (!supervisor_apply(master->supervisor, source, config, &sockets, error)) {
        sockets_close(&sockets);
        return false;
    }
    sockets_close(&master->sockets);
    master->sockets = sockets;
    /* The supervisor points to the set that it was given; it moved with the struct. */
    supervisor_set_sockets(master->supervisor, &master->sockets);
    return true;
}

static unsigned renew(void *argument, unsigned uses)
{
    struct master *master = argument;

    return supervisor_renew(master->supervisor, uses);
}

/* True when the new configuration is in force. */
static bool take_new_configuration(struct master *master)
{
    struct config_source *source;
    struct config *config;
    struct error error;

    if (!read_configuration(master, &source, &config, &error)) {
        log_error(&master->log_context, "reload: %s; the configuration before stays in force",
                  error.message);
        return false;
    }
    if (!str_equal(config->queue_directory, master->config->queue_directory))
        log_warning(&master->log_context, "reload: a new queue_directory takes effect with "
                                          "\"postfix stop\" and \"postfix start\" only");
    /* Before the roles read, so that what changes meanwhile is a change. */
    table_watch_set(master->table_watch, config);
    if (!apply_new(master, source, config, &error)) {
        table_watch_set(master->table_watch, master->config);
        log_error(&master->log_context, "reload: %s; the configuration before stays in force",
                  error.message);
        forget_configuration(&source, &config);
        return false;
    }
    /* Of two reloads in a row the first may not have proved good: then the one before it counts. */
    if (master->config_before != NULL) {
        forget_configuration(&master->source, &master->config);
    } else {
        master->source_before = master->source;
        master->config_before = master->config;
    }
    master->source = source;
    master->config = config;
    name_log(master);
    log_info(&master->log_context, "reload -- version %s, configuration %s", WAYPOST_VERSION,
             master->folder);
    return true;
}

static void reload(struct master *master)
{
    manager_tell_reloading();
    bool is_new = take_new_configuration(master);
    manager_tell_ready(is_new ? "Relaying mail"
                              : "Relaying mail; the last reload failed, see the mail log");
}

/* ---- events ---- */

static void all_ready(void *argument)
{
    struct master *master = argument;

    log_info(&master->log_context, "daemon started -- version %s, configuration %s",
             WAYPOST_VERSION, master->folder);
    tell_starter(master, "");
    manager_tell_ready("Relaying mail");
}

static void start_failed(void *argument, const char *reason)
{
    struct master *master = argument;

    /* In the foreground nobody reads a report, and the log may be what fails. */
    if (master->ready_fd < 0)
        fprintf(stderr, "postfix/master: fatal: %s\n", reason);
    tell_starter(master, reason);
    master->exit_status = EXIT_FAILURE;
    table_watch_stop(master->table_watch);
    supervisor_stop(master->supervisor, STOP_DRAIN_MS);
}

static void all_gone(void *argument)
{
    struct master *master = argument;

    loop_stop(master->loop);
}

static void settled(void *argument)
{
    struct master *master = argument;

    forget_configuration(&master->source_before, &master->config_before);
}

/* A role says no to what could be read. Connections wait in the meantime: the listening sockets
 * stay open. */
static void apply_failed(void *argument, const char *reason)
{
    struct master *master = argument;
    struct error error;

    if (master->config_before == NULL)
        return;
    log_error(&master->log_context, "reload: %s; the configuration before comes back into force",
              reason);
    manager_tell_ready("Relaying mail; the last reload failed, see the mail log");
    table_watch_set(master->table_watch, master->config_before);
    if (!apply_new(master, master->source_before, master->config_before, &error)) {
        log_error(&master->log_context, "reload: %s", error.message);
        return;
    }
    forget_configuration(&master->source, &master->config);
    master->source = master->source_before;
    master->config = master->config_before;
    master->source_before = NULL;
    master->config_before = NULL;
    name_log(master);
}

static const struct supervisor_events supervisor_events = {
    .all_ready = all_ready,
    .start_failed = start_failed,
    .settled = settled,
    .apply_failed = apply_failed,
    .all_gone = all_gone,
};

static void signal_arrived(void *argument, int number)
{
    struct master *master = argument;

    switch (number) {
    case SIGCHLD:
        supervisor_reap(master->supervisor);
        return;
    case SIGHUP:
        reload(master);
        return;
    case SIGUSR1:
        supervisor_log_status(master->supervisor);
        return;
    case SIGUSR2:
        supervisor_wakeup(master->supervisor, "queue", 0);
        return;
    case SIGQUIT: /* `postfix abort` */
        manager_tell_stopping();
        table_watch_stop(master->table_watch);
        log_info(&master->log_context, "aborting on signal %d", number);
        supervisor_stop(master->supervisor, 0);
        return;
    default:
        manager_tell_stopping();
        table_watch_stop(master->table_watch);
        log_info(&master->log_context, "terminating on signal %d", number);
        supervisor_stop(master->supervisor, STOP_DRAIN_MS);
    }
}

static void log_again_due(struct timer *timer)
{
    (void)timer; /* the hook that runs before the loop sleeps again flushes */
}

static void flush_log(struct before_sleep *hook)
{
    struct master *master = list_entry(hook, struct master, flush_log);

    if (!log_flush(master->log))
        timer_set(master->loop, &master->log_again, clock_monotonic_ms() + LOG_AGAIN_MS,
                  log_again_due);
}

/* That this loop turns is what a service manager's watchdog can know of us; a role that hangs is
 * the supervisor's matter. */
static void alive_due(struct timer *timer)
{
    struct master *master = list_entry(timer, struct master, alive);
    int64_t period_ms = manager_alive_period_ms();

    manager_tell_alive();
    if (period_ms > 0)
        timer_set(master->loop, timer, clock_monotonic_ms() + period_ms, alive_due);
}

/* ---- start-up ---- */

/* One datagram socket for all roles, so that lines arrive in the order of their causes. The master
 * keeps both ends: a log role that is restarted finds what was written meanwhile. */
static bool open_log(struct master *master, struct error *error)
{
    int pair[2];
    int bytes = DATAGRAM_BUFFER_BYTES;

    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return error_errno(error, "create the log socket");
    master->log_read_fd = pair[0];
    master->log_write_fd = pair[1];
    setsockopt(pair[1], SOL_SOCKET, geteuid() == 0 ? SO_SNDBUFFORCE : SO_SNDBUF, &bytes,
               sizeof bytes);
    return true;
}

/* Descriptors for as many connections as the system allows. */
static void raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static bool open_loop(struct master *master, struct error *error)
{
    static const int signals[] = { SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGTERM, SIGINT, 0 };
    int own_log_fd = fcntl(master->log_write_fd, F_DUPFD_CLOEXEC, 3);

    if (own_log_fd < 0)
        return error_errno(error, "open the log socket");
    log_free(&master->log);
    master->log = log_new_socket(own_log_fd);
    master->log_context.log = master->log;
    master->loop = loop_new(error);
    if (master->loop == NULL)
        return false;
    loop_before_sleep(master->loop, &master->flush_log, flush_log);
    return loop_signals(master->loop, signals, signal_arrived, master, error);
}

static void created(void *argument, const char *path)
{
    struct master *master = argument;

    log_info(&master->log_context, "created %s", path);
}

static bool start(struct master *master, struct error *error)
{
    struct spool_owner owner;

    if (!read_configuration(master, &master->source, &master->config, error))
        return false;
    name_log(master);
    raise_limits();
    if (!spool_owner_find(master->config, &owner, error) ||
        !spool_prepare(master->config, &owner, created, master, error))
        return false;
    master->lock_fd = spool_lock_master(master->config, error);
    if (master->lock_fd < 0 || !open_log(master, error))
        return false;
    if (!sockets_open(master->source, master->config, NULL, &master->sockets, error) ||
        !open_loop(master, error) || !master_confine(error))
        return false;
    master->supervisor =
        supervisor_new(master->loop, &master->log_context, &supervisor_events, master);
    supervisor_set_log_sockets(master->supervisor, master->log_read_fd, master->log_write_fd);
    master->table_watch = table_watch_new(master->loop, &master->log_context, renew, master);
    table_watch_set(master->table_watch, master->config);
    alive_due(&master->alive);
    return supervisor_apply(master->supervisor, master->source, master->config, &master->sockets,
                            error);
}

static void stop(struct master *master)
{
    table_watch_free(&master->table_watch);
    supervisor_free(&master->supervisor);
    sockets_close(&master->sockets);
    if (master->loop != NULL) {
        timer_clear(master->loop, &master->log_again);
        timer_clear(master->loop, &master->alive);
        before_sleep_remove(&master->flush_log);
    }
    forget_configuration(&master->source, &master->config);
    forget_configuration(&master->source_before, &master->config_before);
    log_free(&master->log);
    loop_free(&master->loop);
    fd_close(&master->log_read_fd);
    fd_close(&master->log_write_fd);
    fd_close(&master->lock_fd);
    arena_clear(&master->arena);
}

int master_main(int argc, char **argv)
{
    struct master master = { .folder = WAYPOST_CONFIG_DIRECTORY,
                             .ready_fd = -1,
                             .log_read_fd = -1,
                             .log_write_fd = -1,
                             .lock_fd = -1 };
    struct error error;

    for (int option; (option = getopt(argc, argv, "c:r:")) != -1;) {
        if (option == 'c')
            master.folder = optarg;
        else if (option == 'r')
            master.ready_fd = (int)strtol(optarg, NULL, 10);
        else
            return 64;
    }
    master.log = log_new_stderr();
    master.log_context = (struct log_context){ master.log, STR("postfix/master") };
    if (start(&master, &error)) {
        loop_run(master.loop);
    } else {
        log_fatal(&master.log_context, "%s", error.message);
        tell_starter(&master, error.message);
        master.exit_status = EXIT_FAILURE;
    }
    fd_close(&master.ready_fd);
    stop(&master);
    return master.exit_status;
}
