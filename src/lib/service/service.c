/* SPDX-License-Identifier: Apache-2.0 */
#include "service/service.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "mail/log_line.h"
#include "net/tls_tickets.h"
#include "service/endpoint.h"
#include "table/table.h"
#include "wire/wire.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CONTROL_FD = 3,
    LOG_FD = 4,
    LOG_GATHER_MS = 20,
    ORPHAN_DRAIN_MS = 5000, /* without its master a role finishes and leaves within this time */
    SNAPSHOT_BYTES_MAX = 64 * 1024 * 1024,
};

/* What the skeleton itself remembers; the role sees its first member. */
struct skeleton {
    struct service service;
    struct channel *control;
    struct before_sleep flush_log;
    struct timer log_due;
    struct timer drain_deadline;
    struct map *peers;                    /* struct peer by its descriptor */
    struct config_source *waiting_source; /* a reload that has to wait */
    struct config *waiting_config;
    bool is_started, is_ready;
    int exit_status;
};

/* Whose channel it is. One that the role has freed stays here until its descriptor comes again. */
struct peer {
    int fd;
    uint32_t worker;
};

static void log_due(struct timer *timer)
{
    struct skeleton *skeleton = list_entry(timer, struct skeleton, log_due);

    log_flush(skeleton->service.log);
}

/* Lines leave some milliseconds after the first one, together. Where the log role does not keep up
 * they are tried again as late; to be told when the socket is writable would wake every role each
 * time the log role reads. */
static void flush_log_soon(struct before_sleep *hook)
{
    struct skeleton *skeleton = list_entry(hook, struct skeleton, flush_log);
    struct loop *loop = skeleton->service.loop;

    if (log_pending_bytes(skeleton->service.log) > 0 && skeleton->log_due.heap_slot == 0)
        timer_set(loop, &skeleton->log_due, loop_now_ms(loop) + LOG_GATHER_MS, log_due);
}

struct log_context service_log_context(struct service *service, const struct config *config,
                                       const char *program)
{
    const char *tag =
        arena_printf(&service->arena, "%.*s/%s", STR_ARGS(config->syslog_name), program);

    return (struct log_context){ service->log, str_from(tag) };
}

/* The master says what is wrong in the log and decides what follows. */
static bool fail(struct skeleton *skeleton, const struct error *error)
{
    struct wire_control_failed failed = { .reason = str_from(error->message) };

    wire_send_control_failed(skeleton->control, &failed);
    channel_flush(skeleton->control);
    skeleton->exit_status = EXIT_FAILURE;
    loop_stop(skeleton->service.loop);
    return true; /* the frame itself was fine */
}

/* The line of master.cf whose overrides are the role's own; roles with several lines (listeners,
 * transports) make a config for each themselves. */
static const struct master_service *own_line(const struct role *role,
                                             const struct config_source *source)
{
    for (size_t i = 0; role->command != NULL && i < source->master_cf.count; i++) {
        const struct master_service *line = &source->master_cf.services[i];
        if (str_equal(line->command, str_from(role->command)) && line->type != SERVICE_INET)
            return line;
    }
    return NULL;
}

static bool read_snapshot(int fd, struct config_source *source, struct error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return error_errno(error, "stat the configuration snapshot");
    if (status.st_size <= 0 || status.st_size > SNAPSHOT_BYTES_MAX)
        return error_set(error, "the configuration snapshot has an impossible size");
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return error_errno(error, "map the configuration snapshot");
    bool is_loaded = config_source_load(str_of(bytes, (size_t)status.st_size), source, error);
    munmap(bytes, (size_t)status.st_size);
    return is_loaded;
}

static void forget_configuration(struct config_source **source, struct config **config)
{
    config_free(config);
    if (*source != NULL) {
        config_source_free(*source);
        memory_free(*source);
        *source = NULL;
    }
}

static void *name_table_server(void *argument, struct str server, struct error *error)
{
    return endpoint_new(argument, server, error);
}

static enum stream_outcome connect_table_server(void *server, int64_t deadline_ms,
                                                struct stream **stream, struct error *error)
{
    return endpoint_connect(server, deadline_ms, stream, error);
}

/* After a reload the list of servers is closed (the master's rule), so a role that reloads in
 * place may not ask any. */
static void set_table_surroundings(struct service *service, const struct config *config)
{
    bool may_ask = service->role->may_ask_table_servers && !service->role->reloads;

    table_set_surroundings(&(struct table_surroundings){
        .loop = service->loop,
        .server_name = may_ask ? name_table_server : NULL,
        .server_connect = connect_table_server,
        .argument = service,
        .config = config,
        .checks_proxies = true,
        .proxy_read_maps = config->proxy_read_maps,
    });
}

/* What holds for the whole process, whichever line of master.cf it works for. */
static bool set_surroundings(struct service *service, const struct config *config,
                             struct error *error)
{
    set_table_surroundings(service, config);
    return log_line_show_addresses(config->info_log_address_format, error);
}

static bool first_configuration(struct skeleton *skeleton, struct config_source *source,
                                struct config *config, struct error *error)
{
    struct service *service = &skeleton->service;

    service->source = source;
    service->config = config;
    service->log_context = service_log_context(service, config, service->role->log_name);
    skeleton->is_started = true;
    return set_surroundings(service, config, error) &&
           (service->role->start == NULL || service->role->start(service, error));
}

/* A configuration that does not work leaves the one in force as it is. */
static void next_configuration(struct skeleton *skeleton, struct config_source *source,
                               struct config *config)
{
    struct service *service = &skeleton->service;
    struct error error = { 0 }, unused;

    if (!set_surroundings(service, config, &error) ||
        !service->role->reload(service, source, config, &error)) {
        (void)!set_surroundings(service, service->config, &unused);
        log_error(&service->log_context, "reload: %s; the configuration before stays in force",
                  error.message);
        forget_configuration(&source, &config);
        return;
    }
    forget_configuration(&service->source, &service->config);
    service->source = source;
    service->config = config;
    service->log_context = service_log_context(service, config, service->role->log_name);
}

/* Only the newest one waits. */
static void take_waiting(struct skeleton *skeleton)
{
    const struct role *role = skeleton->service.role;
    struct config_source *source = skeleton->waiting_source;
    struct config *config = skeleton->waiting_config;

    if (config == NULL || (role->may_reload != NULL && !role->may_reload(&skeleton->service)))
        return;
    skeleton->waiting_source = NULL;
    skeleton->waiting_config = NULL;
    next_configuration(skeleton, source, config);
}

void service_reload(struct service *service)
{
    take_waiting(list_entry(service, struct skeleton, service));
}

static bool on_configuration(struct skeleton *skeleton, struct str payload)
{
    struct wire_control_configuration message;
    struct service *service = &skeleton->service;
    struct error error = { 0 };

    if (!wire_decode_control_configuration(skeleton->control, payload, &message))
        return false;
    autoclose int fd = message.snapshot;
    if (skeleton->is_started && !service->role->reloads)
        return false;
    struct config_source *source = memory_new(sizeof *source);
    struct config *config = NULL;
    /* What is to be said of values, the master or whoever started it has said. */
    if (read_snapshot(fd, source, &error))
        config = config_new(source, own_line(service->role, source), NULL, NULL, &error);
    if (config == NULL) {
        forget_configuration(&source, &config);
        return skeleton->is_started || fail(skeleton, &error);
    }
    if (skeleton->is_started) {
        forget_configuration(&skeleton->waiting_source, &skeleton->waiting_config);
        skeleton->waiting_source = source;
        skeleton->waiting_config = config;
        take_waiting(skeleton);
    } else if (!first_configuration(skeleton, source, config, &error)) {
        return fail(skeleton, &error);
    }
    return true;
}

static bool on_listener(struct skeleton *skeleton, struct str payload)
{
    struct wire_control_listener message;
    struct service *service = &skeleton->service;
    struct error error = { 0 };

    if (!wire_decode_control_listener(skeleton->control, payload, &message))
        return false;
    autoclose int fd = message.socket;
    if (!skeleton->is_started || service->role->listener == NULL ||
        message.service_line >= service->source->master_cf.count)
        return false;
    const struct master_service *line = &service->source->master_cf.services[message.service_line];
    if (!service->role->listener(service, line, fd_take(&fd), &error))
        return fail(skeleton, &error);
    return true;
}

static bool on_places(struct skeleton *skeleton, struct str payload)
{
    struct wire_control_places message;
    struct service *service = &skeleton->service;
    struct error error = { 0 };

    if (!wire_decode_control_places(skeleton->control, payload, &message))
        return false;
    autoclose int fd = message.memory;
    if (!skeleton->is_started || service->role->places == NULL ||
        message.service_line >= service->source->master_cf.count)
        return false;
    const struct master_service *line = &service->source->master_cf.services[message.service_line];
    fd_take(&fd);
    if (!service->role->places(service, line, &message, &error))
        return fail(skeleton, &error);
    return true;
}

static bool on_place_free(struct skeleton *skeleton, struct str payload)
{
    struct wire_control_place_free message;
    struct service *service = &skeleton->service;

    if (!wire_decode_control_place_free(skeleton->control, payload, &message))
        return false;
    if (skeleton->is_ready && service->role->place_free != NULL)
        service->role->place_free(service, message.number);
    return true;
}

void service_tell_place_left(struct service *service, uint32_t number)
{
    struct skeleton *skeleton = list_entry(service, struct skeleton, service);

    if (!channel_is_closed(skeleton->control))
        wire_send_control_place_left(skeleton->control,
                                     &(struct wire_control_place_left){ .number = number });
}

/* ---- peers ---- */

static struct str key_of(const int *fd)
{
    return str_of((const char *)fd, sizeof *fd);
}

static void remember_peer(struct skeleton *skeleton, int fd, uint32_t worker)
{
    struct peer *peer = memory_new(sizeof *peer);

    *peer = (struct peer){ fd, worker };
    memory_free(map_set(skeleton->peers, key_of(&fd), peer));
}

static void channel_ended(void *argument, int fd)
{
    struct skeleton *skeleton = argument;
    struct peer *peer = map_remove(skeleton->peers, key_of(&fd));

    if (peer != NULL && !channel_is_closed(skeleton->control))
        wire_send_control_peer_lost(skeleton->control,
                                    &(struct wire_control_peer_lost){ .worker = peer->worker });
    memory_free(peer);
}

static void forget_peers(struct skeleton *skeleton)
{
    struct map_cursor cursor = { 0 };

    channel_hear_ends(NULL, NULL);
    while (map_next(skeleton->peers, &cursor))
        memory_free(cursor.value);
    map_free(&skeleton->peers);
}

static bool on_peer(struct skeleton *skeleton, struct str payload)
{
    struct wire_control_peer message;
    struct service *service = &skeleton->service;
    struct error error = { 0 };

    if (!wire_decode_control_peer(skeleton->control, payload, &message))
        return false;
    autoclose int fd = message.socket;
    if (!skeleton->is_started || service->role->peer == NULL)
        return false;
    remember_peer(skeleton, fd, message.worker);
    if (!service->role->peer(service, message.role, message.worker, fd_take(&fd), &error))
        return fail(skeleton, &error);
    return true;
}

static bool on_tickets(struct skeleton *skeleton, struct str payload)
{
    struct wire_control_tickets message;
    struct service *service = &skeleton->service;

    if (!wire_decode_control_tickets(skeleton->control, payload, &message) ||
        message.seed.len != TICKET_SEED_BYTES || service->tickets != NULL)
        return false;
    service->tickets = tls_tickets_new((const unsigned char *)message.seed.ptr, message.period);
    return true;
}

static bool on_start(struct skeleton *skeleton, struct str payload)
{
    struct wire_control_start message;
    struct service *service = &skeleton->service;
    struct error error = { 0 };

    if (!wire_decode_control_start(skeleton->control, payload, &message))
        return false;
    if (!skeleton->is_started || skeleton->is_ready)
        return false;
    service->worker = message.worker;
    if (service->role->confine != NULL && !service->role->confine(service, &error))
        return fail(skeleton, &error);
    skeleton->is_ready = true;
    if (service->role->ready != NULL)
        service->role->ready(service);
    wire_send_control_ready(skeleton->control, &(struct wire_control_ready){
                                                   .is_confined = service->role->confine != NULL });
    return true;
}

void service_drained(struct service *service)
{
    loop_stop(service->loop);
}

static void drain_expired(struct timer *timer)
{
    struct skeleton *skeleton = list_entry(timer, struct skeleton, drain_deadline);

    log_warning(&skeleton->service.log_context,
                "stopping with work unfinished: its time to finish is over");
    loop_stop(skeleton->service.loop);
}

static void drain(struct skeleton *skeleton, int64_t duration_ms)
{
    struct service *service = &skeleton->service;

    if (!skeleton->is_ready || service->role->drain == NULL) {
        loop_stop(service->loop);
        return;
    }
    int64_t deadline_ms = clock_monotonic_ms() + duration_ms;
    timer_set(service->loop, &skeleton->drain_deadline, deadline_ms, drain_expired);
    if (service->is_draining)
        return;
    service->is_draining = true;
    service->role->drain(service, deadline_ms);
}

static bool on_drain(struct skeleton *skeleton, struct str payload)
{
    struct wire_control_drain message;

    if (!wire_decode_control_drain(skeleton->control, payload, &message))
        return false;
    drain(skeleton, message.deadline_ms);
    return true;
}

static bool on_wakeup(struct skeleton *skeleton, struct str payload)
{
    struct wire_control_wakeup message;
    struct service *service = &skeleton->service;

    if (!wire_decode_control_wakeup(skeleton->control, payload, &message))
        return false;
    if (skeleton->is_ready && service->role->wakeup != NULL)
        service->role->wakeup(service, message.reason);
    return true;
}

static bool on_query_status(struct skeleton *skeleton, struct str payload)
{
    struct wire_control_query_status message;
    struct service *service = &skeleton->service;
    autofree_buf struct buf text = { .limit = CHANNEL_FRAME_MAX / 2 };
    char *fibers = NULL;
    size_t fibers_len = 0;

    if (!wire_decode_control_query_status(skeleton->control, payload, &message))
        return false;
    if (service->role->status != NULL)
        service->role->status(service, &text);
    FILE *out = open_memstream(&fibers, &fibers_len);
    ensure(out != NULL);
    fiber_dump(service->loop, out);
    fclose(out);
    buf_append(&text, str_of(fibers, fibers_len));
    free(fibers);
    wire_send_control_status(
        skeleton->control,
        &(struct wire_control_status){ .token = message.token, .text = buf_str(&text) });
    return true;
}

static bool on_connected(struct skeleton *skeleton, struct str payload)
{
    return connector_connected(skeleton->service.connector, payload);
}

static bool on_not_connected(struct skeleton *skeleton, struct str payload)
{
    return connector_not_connected(skeleton->service.connector, payload);
}

static const struct {
    uint16_t number;
    bool (*handle)(struct skeleton *skeleton, struct str payload);
} control_messages[] = {
    { WIRE_control_configuration, on_configuration },
    { WIRE_control_places, on_places },
    { WIRE_control_listener, on_listener },
    { WIRE_control_peer, on_peer },
    { WIRE_control_tickets, on_tickets },
    { WIRE_control_start, on_start },
    { WIRE_control_drain, on_drain },
    { WIRE_control_wakeup, on_wakeup },
    { WIRE_control_place_free, on_place_free },
    { WIRE_control_connected, on_connected },
    { WIRE_control_not_connected, on_not_connected },
    { WIRE_control_query_status, on_query_status },
};

static bool control_received(void *owner, struct channel *channel, uint16_t number,
                             struct str payload)
{
    const struct skeleton *skeleton = owner;

    (void)channel;
    if (skeleton->exit_status != 0) /* it has failed, and only the loop is still to end */
        return true;
    for (size_t i = 0; i < sizeof control_messages / sizeof *control_messages; i++)
        if (control_messages[i].number == number)
            return control_messages[i].handle(owner, payload);
    return false;
}

/* The master died or closed the channel: nobody supervises us any more. */
static void control_closed(void *owner, struct channel *channel, const char *reason)
{
    (void)channel, (void)reason;
    drain(owner, ORPHAN_DRAIN_MS);
}

static const struct channel_events control_events = { control_received, control_closed };

static void signal_arrived(void *argument, int number)
{
    if (number == SIGTERM)
        drain(argument, ORPHAN_DRAIN_MS);
}

static bool open_skeleton(struct skeleton *skeleton, struct error *error)
{
    /* SIGINT and SIGHUP are the master's business: a terminal sends them to the whole group. */
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, 0 };
    struct service *service = &skeleton->service;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    service->loop = loop_new(error);
    if (service->loop == NULL)
        return false;
    loop_before_sleep(service->loop, &skeleton->flush_log, flush_log_soon);
    skeleton->control = channel_new(service->loop, CONTROL_FD, &control_events, skeleton, error);
    if (skeleton->control == NULL)
        return false;
    service->connector = connector_new(service->loop, skeleton->control);
    return loop_signals(service->loop, signals, signal_arrived, skeleton, error);
}

int service_main(const struct role *role)
{
    struct skeleton skeleton = { 0 };
    struct service *service = &skeleton.service;
    struct error error = { 0 };

    prctl(PR_SET_NAME, role->name);
    service->role = role;
    service->log = log_new_socket(LOG_FD);
    service->log_context = (struct log_context){ service->log, str_from(role->log_name) };
    skeleton.peers = map_new();
    channel_hear_ends(channel_ended, &skeleton);
    if (!open_skeleton(&skeleton, &error)) {
        log_fatal(&service->log_context, "%s", error.message);
        log_free(&service->log);
        return EXIT_FAILURE;
    }
    loop_run(service->loop);
    if (role->stop != NULL && skeleton.is_started)
        role->stop(service);
    forget_peers(&skeleton);
    timer_clear(service->loop, &skeleton.drain_deadline);
    timer_clear(service->loop, &skeleton.log_due);
    connector_free(&service->connector);
    tls_tickets_free(&service->tickets);
    channel_free(&skeleton.control);
    before_sleep_remove(&skeleton.flush_log);
    forget_configuration(&skeleton.waiting_source, &skeleton.waiting_config);
    forget_configuration(&service->source, &service->config);
    log_free(&service->log);
    loop_free(&service->loop);
    arena_clear(&service->arena);
    return skeleton.exit_status;
}
