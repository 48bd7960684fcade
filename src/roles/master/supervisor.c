/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "endpoints.h"
#include "links.h"
#include "net/tls_tickets.h"
#include "outfit.h"
#include "process.h"
#include "service/environment.h"
#include "user_name.h"
#include "wire/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 60 * 1000,
    BACKOFF_CRASHED_MAX_MS = 1000,
    HEALTHY_MS = 10 * 1000,            /* who ran this long is started again at once */
    RETIRED_DRAIN_MS = 60 * 60 * 1000, /* at a reload, for conversations in flight */
    KILL_AFTER_MS = 2000,              /* beyond its drain time */
    /* So many processes of a role may be finishing what they have; until one is gone no change of
     * a table makes it more. */
    RETIRED_MAX = 16,
    LOOKUPS_MAX = 20, /* of users' names, at once */
};

static void start_seat(struct seat *seat);

/* ---- life ---- */

static bool is_role_ready(const struct supervisor *supervisor, const char *name)
{
    list_each (link, &supervisor->processes) {
        const struct process *process = list_entry(link, struct process, link);
        if (strcmp(process->role->name, name) == 0 && process->is_ready)
            return true;
    }
    return false;
}

/* Who takes mail in or out begins only when the queue can keep it. */
static void start_those_who_may(struct supervisor *supervisor)
{
    bool is_queue_ready = is_role_ready(supervisor, "queue");

    list_each (link, &supervisor->processes) {
        struct process *process = list_entry(link, struct process, link);
        if (process->is_started || process->control == NULL ||
            (process->role->waits_for_queue && !is_queue_ready))
            continue;
        process->is_started = true;
        wire_send_control_start(process->control,
                                &(struct wire_control_start){ .worker = process->worker });
    }
}

static bool are_all_ready(const struct supervisor *supervisor)
{
    for (size_t role = 0; role < ROLE_COUNT; role++)
        for (size_t i = 0; i < WORKERS_MAX; i++) {
            const struct seat *seat = supervisor->seats[role][i];
            if (seat != NULL && (seat->process == NULL || !seat->process->is_ready))
                return false;
        }
    return true;
}

static void on_ready(struct process *process)
{
    struct supervisor *supervisor = process->supervisor;

    process->is_ready = true;
    start_those_who_may(supervisor);
    if (!supervisor->was_ready && are_all_ready(supervisor)) {
        supervisor->was_ready = true;
        supervisor->events->all_ready(supervisor->argument);
    }
    if (supervisor->is_settling && are_all_ready(supervisor)) {
        supervisor->is_settling = false;
        supervisor->events->settled(supervisor->argument);
    }
}

static void log_lines(struct supervisor *supervisor, const struct process *process, struct str text)
{
    while (text.len > 0) {
        struct str line = str_cut(&text, "\n");
        if (line.len > 0)
            log_info(&supervisor->log_context, "status: %s[%d]: %.*s", process->role->name,
                     (int)process->pid, STR_ARGS(line));
    }
}

static void on_failed(struct process *process, struct str reason)
{
    struct supervisor *supervisor = process->supervisor;
    autoclear_arena struct arena scratch = { 0 };
    const char *text = arena_printf(&scratch, "%s: %.*s", process->role->name, STR_ARGS(reason));

    log_fatal(&supervisor->log_context, "%s", text);
    if (supervisor->is_stopping)
        return;
    if (!supervisor->was_ready) {
        supervisor->events->start_failed(supervisor->argument, text);
    } else if (supervisor->is_settling && process->seat != NULL) {
        supervisor->is_settling = false;
        supervisor->events->apply_failed(supervisor->argument, text);
    }
}

/* The queue knows its callers by their numbers. */
static bool on_ask_user(struct process *process, struct str payload)
{
    struct supervisor *supervisor = process->supervisor;
    bool has_child;

    if (strcmp(process->role->name, "queue") != 0 ||
        !user_name_ask(process->control, payload, supervisor->lookups < LOOKUPS_MAX, &has_child))
        return false;
    supervisor->lookups += has_child;
    return true;
}

/* Those who wait for a place of the service with that number, or of any (NULL), look again. */
static void tell_place_free(const struct supervisor *supervisor, const uint32_t *number)
{
    list_each (link, &supervisor->processes) {
        struct process *process = list_entry(link, struct process, link);
        if (strcmp(process->role->name, "smtpd") == 0 && process->seat != NULL &&
            process->control != NULL && process->is_started)
            service_places_tell_free(supervisor->places, process->control, number);
    }
}

static bool on_place_left(const struct process *process, struct str payload)
{
    struct wire_control_place_left message;

    if (!wire_decode_control_place_left(process->control, payload, &message))
        return false;
    tell_place_free(process->supervisor, &message.number);
    return true;
}

static bool control_received(void *owner, struct channel *channel, uint16_t number,
                             struct str payload)
{
    struct process *process = owner;
    struct wire_control_ready ready;
    struct wire_control_failed failed;
    struct wire_control_status status;
    struct wire_control_peer_lost lost;

    if (number == WIRE_control_ready && wire_decode_control_ready(channel, payload, &ready)) {
        on_ready(process);
        return true;
    }
    if (number == WIRE_control_failed && wire_decode_control_failed(channel, payload, &failed)) {
        on_failed(process, failed.reason);
        return true;
    }
    if (number == WIRE_control_status && wire_decode_control_status(channel, payload, &status)) {
        log_lines(process->supervisor, process, status.text);
        return true;
    }
    if (number == WIRE_control_peer_lost &&
        wire_decode_control_peer_lost(channel, payload, &lost)) {
        links_lost(process, lost.worker);
        return true;
    }
    if (number == WIRE_control_endpoint)
        return !process->is_ready && endpoints_name(process->endpoints, channel, payload);
    if (number == WIRE_control_connect)
        return endpoints_connect(process->endpoints, channel, payload);
    if (number == WIRE_control_place_left)
        return on_place_left(process, payload);
    if (number == WIRE_control_ask_user)
        return on_ask_user(process, payload);
    return false;
}

/* Its end is near: SIGCHLD says when and how. What broke the protocol is not waited for. */
static void control_closed(void *owner, struct channel *channel, const char *reason)
{
    struct process *process = owner;

    (void)channel, (void)reason;
    channel_free(&process->control);
    kill(process->pid, SIGTERM);
}

static const struct channel_events control_events = { control_received, control_closed };

static void kill_expired(struct timer *timer)
{
    struct process *process = list_entry(timer, struct process, kill);

    log_warning(&process->supervisor->log_context, "process %s pid %d does not end: killing it",
                process->role->name, (int)process->pid);
    kill(process->pid, SIGKILL);
}

static void drain(struct process *process, int64_t duration_ms)
{
    struct supervisor *supervisor = process->supervisor;

    if (process->control != NULL && duration_ms > 0)
        wire_send_control_drain(process->control,
                                &(struct wire_control_drain){ .deadline_ms = duration_ms });
    else
        kill(process->pid, duration_ms > 0 ? SIGTERM : SIGKILL);
    timer_set(supervisor->loop, &process->kill, clock_monotonic_ms() + duration_ms + KILL_AFTER_MS,
              kill_expired);
}

static void restart_due(struct timer *timer)
{
    start_seat(list_entry(timer, struct seat, restart));
}

/* `limit_ms`: the longest pause. What could not begin, or gave up by itself, will not be better off
 * for many tries; what served and was killed while it did serves those in between. */
static void restart_later(struct seat *seat, int64_t ran_ms, int64_t limit_ms)
{
    struct supervisor *supervisor = seat->supervisor;

    if (ran_ms >= HEALTHY_MS)
        seat->backoff_ms = 0;
    if (seat->backoff_ms > limit_ms)
        seat->backoff_ms = limit_ms;
    if (seat->backoff_ms > BACKOFF_CRASHED_MAX_MS)
        log_warning(&supervisor->log_context, "process %s is started again in %lld s",
                    seat->role->name, (long long)(seat->backoff_ms + 500) / 1000);
    timer_set(supervisor->loop, &seat->restart, clock_monotonic_ms() + seat->backoff_ms,
              restart_due);
    seat->backoff_ms = seat->backoff_ms > 0 ? seat->backoff_ms * 2 : BACKOFF_FIRST_MS;
}

static bool open_process(struct seat *seat, struct process *process, struct error *error)
{
    struct supervisor *supervisor = seat->supervisor;
    struct process_needs needs = { .role = seat->role->name,
                                   .environment = supervisor->environment,
                                   .log_fd = supervisor->log_write_fd };
    int control_fd;

    if (!process_start(&needs, &process->pid, &control_fd, error))
        return false;
    process->control = channel_new(supervisor->loop, control_fd, &control_events, process, error);
    if (process->control != NULL)
        return true;
    kill(process->pid, SIGKILL);
    return false;
}

static void start_seat(struct seat *seat)
{
    struct supervisor *supervisor = seat->supervisor;
    struct process *process = memory_new(sizeof *process);
    struct error error;

    process->supervisor = supervisor;
    process->endpoints = endpoints_new();
    process->role = seat->role;
    process->worker = supervisor->next_worker++;
    process->seat = seat;
    process->started_ms = clock_monotonic_ms();
    if (!open_process(seat, process, &error)) {
        log_warning(&supervisor->log_context, "%s", error.message);
        endpoints_free(&process->endpoints);
        memory_free(process);
        restart_later(seat, 0, BACKOFF_MAX_MS);
        return;
    }
    seat->process = process;
    list_append(&supervisor->processes, &process->link);
    outfit_send(process);
    links_make(process);
    start_those_who_may(supervisor);
}

static void process_free(struct process *process)
{
    timer_clear(process->supervisor->loop, &process->kill);
    channel_free(&process->control);
    endpoints_free(&process->endpoints);
    list_remove(&process->link);
    memory_free(process);
}

/* ---- stopping ---- */

static bool is_stage_empty(const struct supervisor *supervisor, enum stop_stage stage)
{
    list_each (link, &supervisor->processes)
        if (list_entry(link, struct process, link)->role->stage == stage)
            return false;
    return true;
}

static void drain_stage(struct supervisor *supervisor)
{
    list_each (link, &supervisor->processes) {
        struct process *process = list_entry(link, struct process, link);
        if (process->role->stage == supervisor->stage)
            drain(process, supervisor->stop_duration_ms);
    }
}

/* On to the next stage that has processes; the end when there is none. */
static void stop_on(struct supervisor *supervisor)
{
    while (supervisor->stage < STAGE_COUNT && is_stage_empty(supervisor, supervisor->stage)) {
        supervisor->stage++;
        if (supervisor->stage < STAGE_COUNT)
            drain_stage(supervisor);
    }
    if (supervisor->stage == STAGE_COUNT)
        supervisor->events->all_gone(supervisor->argument);
}

static void forget_seat(struct seat **seat)
{
    timer_clear((*seat)->supervisor->loop, &(*seat)->restart);
    memory_free(*seat);
    *seat = NULL;
}

/* From now on nobody is started again. */
static void forget_seats(struct supervisor *supervisor)
{
    for (size_t role = 0; role < ROLE_COUNT; role++)
        for (size_t i = 0; i < WORKERS_MAX; i++) {
            struct seat *seat = supervisor->seats[role][i];
            if (seat == NULL)
                continue;
            if (seat->process != NULL)
                seat->process->seat = NULL;
            forget_seat(&supervisor->seats[role][i]);
        }
}

void supervisor_stop(struct supervisor *supervisor, int64_t duration_ms)
{
    forget_seats(supervisor);
    supervisor->stop_duration_ms = duration_ms;
    if (supervisor->is_stopping) {
        drain_stage(supervisor);
        return;
    }
    supervisor->is_stopping = true;
    supervisor->stage = STAGE_CONVERSATIONS;
    drain_stage(supervisor);
    stop_on(supervisor);
}

/* ---- the ends of processes ---- */

static void log_end(const struct process *process, int status)
{
    const struct log_context *log_context = &process->supervisor->log_context;

    if (WIFSIGNALED(status))
        log_warning(log_context, "process %s pid %d killed by signal %d", process->role->name,
                    (int)process->pid, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        log_warning(log_context, "process %s pid %d exit status %d", process->role->name,
                    (int)process->pid, WEXITSTATUS(status));
    else if (process->seat != NULL)
        log_warning(log_context, "process %s pid %d ended without being told to",
                    process->role->name, (int)process->pid);
}

static void ended(struct process *process, int status)
{
    struct supervisor *supervisor = process->supervisor;
    struct seat *seat = process->seat;
    int64_t ran_ms = clock_monotonic_ms() - process->started_ms;
    bool was_serving = process->is_ready && WIFSIGNALED(status);

    log_end(process, status);
    if (strcmp(process->role->name, "smtpd") == 0) {
        service_places_forget(supervisor->places, process->worker);
        tell_place_free(supervisor, NULL);
    }
    /* What it still had to say stands in its channel. */
    process_free(process);
    if (seat != NULL) {
        seat->process = NULL;
        restart_later(seat, ran_ms, was_serving ? BACKOFF_CRASHED_MAX_MS : BACKOFF_MAX_MS);
    }
    if (supervisor->is_stopping)
        stop_on(supervisor);
}

static struct process *find_process(const struct supervisor *supervisor, pid_t pid)
{
    list_each (link, &supervisor->processes) {
        struct process *process = list_entry(link, struct process, link);
        if (process->pid == pid)
            return process;
    }
    return NULL;
}

void supervisor_reap(struct supervisor *supervisor)
{
    int status;

    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        struct process *process = find_process(supervisor, pid);
        if (process != NULL)
            ended(process, status);
        else if (supervisor->lookups > 0)
            supervisor->lookups--;
    }
}

/* ---- configurations ---- */

static int seal_snapshot(const struct config_source *source, struct error *error)
{
    autofree_buf struct buf bytes = { 0 };
    autoclose int fd = memfd_create("waypost-configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    config_source_save(source, &bytes);
    if (fd < 0) {
        error_errno(error, "create the configuration snapshot");
        return -1;
    }
    if (!fd_write_all(fd, buf_str(&bytes), "the configuration snapshot", error))
        return -1;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
        error_errno(error, "seal the configuration snapshot");
        return -1;
    }
    return fd_take(&fd);
}

static void retire(struct seat *seat)
{
    struct process *process = seat->process;

    seat->process = NULL;
    if (process == NULL)
        return;
    process->seat = NULL;
    drain(process, RETIRED_DRAIN_MS);
}

static void fill_seat(struct supervisor *supervisor, size_t role, uint32_t worker)
{
    struct seat *seat = memory_new(sizeof *seat);

    *seat = (struct seat){ .supervisor = supervisor, .role = &role_table[role] };
    supervisor->seats[role][worker] = seat;
    start_seat(seat);
}

/* One that is there gets a fresh process, or in place the configuration. The older process drains
 * only after its successor was started, and the listening sockets are open all the time. */
static void renew_seat(struct supervisor *supervisor, size_t role, uint32_t worker)
{
    struct seat **place = &supervisor->seats[role][worker];

    if (role_table[role].reloads) {
        if ((*place)->process != NULL && (*place)->process->control != NULL)
            outfit_send_configuration((*place)->process);
        return;
    }
    retire(*place);
    forget_seat(place);
    fill_seat(supervisor, role, worker);
}

/* A seat that is new is filled, one that is there renewed; one that is too many goes. */
static void apply_to_seat(struct supervisor *supervisor, size_t role, uint32_t worker,
                          bool is_wanted)
{
    struct seat **place = &supervisor->seats[role][worker];

    if (*place != NULL && is_wanted) {
        renew_seat(supervisor, role, worker);
    } else if (*place != NULL) {
        retire(*place);
        forget_seat(place);
    } else if (is_wanted) {
        fill_seat(supervisor, role, worker);
    }
}

bool supervisor_apply(struct supervisor *supervisor, const struct config_source *source,
                      const struct config *config, const struct sockets *sockets,
                      struct error *error)
{
    int snapshot_fd = seal_snapshot(source, error);

    if (snapshot_fd < 0)
        return false;
    if (!service_places_apply(supervisor->places, config, sockets, error)) {
        fd_close(&snapshot_fd);
        return false;
    }
    fd_close(&supervisor->snapshot_fd);
    supervisor->snapshot_fd = snapshot_fd;
    supervisor->sockets = sockets;
    arena_clear(&supervisor->arena);
    supervisor->environment = environment_import(&supervisor->arena, config);
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        uint32_t wanted = (uint32_t)role_table[role].workers(config);
        for (uint32_t worker = 0; worker < WORKERS_MAX; worker++)
            apply_to_seat(supervisor, role, worker, worker < wanted);
    }
    supervisor->is_settling = supervisor->was_ready;
    return true;
}

/* They live as long as the master: a reload, or a worker that is replaced, ends no session. */
static struct tls_tickets *make_tickets(void)
{
    unsigned char seed[TICKET_SEED_BYTES];
    int64_t period = tls_tickets_period(clock_wall_ms() / 1000) - TICKET_KEPT_PERIODS;

    return tls_tickets_make_seed(seed) ? tls_tickets_new(seed, period) : NULL;
}

static size_t count_retired(const struct supervisor *supervisor, const struct role_row *role)
{
    size_t count = 0;

    list_each (link, &supervisor->processes) {
        const struct process *process = list_entry(link, struct process, link);
        count += process->role == role && process->seat == NULL;
    }
    return count;
}

/* One whose process was only just started is not done yet with reading. */
static bool may_renew(const struct supervisor *supervisor, size_t role)
{
    for (uint32_t worker = 0; worker < WORKERS_MAX; worker++) {
        const struct seat *seat = supervisor->seats[role][worker];
        if (seat != NULL && seat->process != NULL && !seat->process->is_ready)
            return false;
    }
    return count_retired(supervisor, &role_table[role]) < RETIRED_MAX;
}

unsigned supervisor_renew(struct supervisor *supervisor, unsigned uses)
{
    for (size_t role = 0; role < ROLE_COUNT; role++)
        if ((role_table[role].table_uses & uses) != 0 && !may_renew(supervisor, role))
            return uses;
    for (size_t role = 0; role < ROLE_COUNT; role++)
        for (uint32_t worker = 0; worker < WORKERS_MAX; worker++)
            if ((role_table[role].table_uses & uses) != 0 &&
                supervisor->seats[role][worker] != NULL)
                renew_seat(supervisor, role, worker);
    return 0;
}

struct supervisor *supervisor_new(struct loop *loop, const struct log_context *log_context,
                                  const struct supervisor_events *events, void *argument)
{
    struct supervisor *supervisor = memory_new(sizeof *supervisor);

    supervisor->loop = loop;
    supervisor->log_context = *log_context;
    supervisor->events = events;
    supervisor->argument = argument;
    supervisor->snapshot_fd = -1;
    list_init(&supervisor->processes);
    list_init(&supervisor->relinks);
    supervisor->tickets = make_tickets();
    supervisor->places = service_places_new();
    return supervisor;
}

void supervisor_set_log_sockets(struct supervisor *supervisor, int log_read_fd, int log_write_fd)
{
    supervisor->log_read_fd = log_read_fd;
    supervisor->log_write_fd = log_write_fd;
}

void supervisor_set_sockets(struct supervisor *supervisor, const struct sockets *sockets)
{
    supervisor->sockets = sockets;
}

void supervisor_free(struct supervisor **supervisor)
{
    if (*supervisor == NULL)
        return;
    forget_seats(*supervisor);
    links_clear(*supervisor);
    list_each_removable (link, &(*supervisor)->processes)
        process_free(list_entry(link, struct process, link));
    fd_close(&(*supervisor)->snapshot_fd);
    tls_tickets_free(&(*supervisor)->tickets);
    service_places_free(&(*supervisor)->places);
    arena_clear(&(*supervisor)->arena);
    memory_free(*supervisor);
    *supervisor = NULL;
}

void supervisor_wakeup(struct supervisor *supervisor, const char *role, uint8_t reason)
{
    list_each (link, &supervisor->processes) {
        struct process *process = list_entry(link, struct process, link);
        if (process->control != NULL && strcmp(process->role->name, role) == 0)
            wire_send_control_wakeup(process->control,
                                     &(struct wire_control_wakeup){ .reason = reason });
    }
}

void supervisor_log_status(struct supervisor *supervisor)
{
    list_each (link, &supervisor->processes) {
        struct process *process = list_entry(link, struct process, link);
        if (process->control != NULL)
            wire_send_control_query_status(process->control,
                                           &(struct wire_control_query_status){ .token = 0 });
    }
}
