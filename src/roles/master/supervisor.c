/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"
#include "config/twins.h"
#include "endpoints.h"
#include "net/tls_tickets.h"
#include "process.h"
#include "service/environment.h"
#include "service/login_cache.h"
#include "table/table_files.h"
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
    HEALTHY_MS = 10 * 1000,            /* who ran this long is started again at once */
    RETIRED_DRAIN_MS = 60 * 60 * 1000, /* at a reload, for conversations in flight */
    RELINK_MS = 1000,                  /* by then a process that ended has been reaped */
    KILL_AFTER_MS = 2000,              /* beyond its drain time */
    WORKERS_MAX = 64,
    /* So many processes of a role may be finishing what they have; until one is gone no change of
     * a table makes it more. */
    RETIRED_MAX = 16,
    LOOKUPS_MAX = 20, /* of users' names, at once */
};

/* The order of the stages at an orderly stop. */
enum stop_stage { STAGE_CONVERSATIONS, STAGE_QUEUE, STAGE_LOG, STAGE_COUNT };

/* The roles, in the order they are started in. */
struct role_row {
    const char *name;
    int (*workers)(const struct config *config);
    bool reloads; /* takes a new configuration in place */
    bool waits_for_queue;
    enum stop_stage stage;
    unsigned table_uses; /* enum table_use: whose tables it reads */
};

static int one(const struct config *config)
{
    (void)config;
    return 1;
}

/* One for every two cores: the queue and the kernel want some of them too, and a process that is
 * kept busy does more with a core than two that are woken up in turn. */
static int workers(int wanted)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int count = wanted > 0 ? wanted : (int)(cores + 1) / 2;

    return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : count;
}

static int smtpd_workers(const struct config *config)
{
    return workers(config->waypost_smtpd_workers);
}

static int smtp_workers(const struct config *config)
{
    return workers(config->waypost_smtp_workers);
}

/* Only where a service of master.cf needs it: it is the one that stays root. */
static int local_workers(const struct config *config)
{
    static const char *const commands[] = { "local", "virtual", "pipe" };
    const struct master_cf *master_cf = &config->source->master_cf;

    for (size_t i = 0; i < master_cf->count; i++)
        for (size_t at = 0; at < sizeof commands / sizeof commands[0]; at++)
            if (str_equal(master_cf->services[i].command, str_from(commands[at])))
                return 1;
    return 0;
}

/* Only where the configuration asks for address verification: it costs a process. What an access
 * table's result alone asks for is not seen; then some address_verify_* parameter must be set. */
static int verify_workers(const struct config *config)
{
    const struct config_source *source = config->source;
    struct str text[] = { source->main_text, source->master_text };
    bool is_wanted = false;

    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
        is_wanted |= str_find(text[i], STR("reject_unverified_")) >= 0 ||
                     str_find(text[i], STR("address_verify_")) >= 0;
    for (size_t i = 0; is_wanted && i < source->master_cf.count; i++)
        if (str_equal(source->master_cf.services[i].command, STR("verify")))
            return 1;
    return 0;
}

/* Whether some service that runs the command wants something, by what its own line says. */
static bool some_service_wants(const struct config *config, struct str command,
                               bool (*wants)(const struct config *config))
{
    const struct master_cf *master_cf = &config->source->master_cf;
    bool is_wanted = false;

    for (size_t i = 0; !is_wanted && i < master_cf->count; i++) {
        struct error unused;
        if (!str_equal(master_cf->services[i].command, command))
            continue;
        struct config *own =
            config_new(config->source, &master_cf->services[i], NULL, NULL, &unused);
        if (own != NULL && str_equal(command, STR("lmtp")))
            config_use_lmtp(own);
        is_wanted = own != NULL && wants(own);
        config_free(&own);
    }
    return is_wanted;
}

static bool wants_cyrus(const struct config *config)
{
    return config->smtpd_sasl_auth_enable && str_equal_fold(config->smtpd_sasl_type, STR("cyrus"));
}

/* Only where some service of smtpd wants Cyrus SASL. */
static int sasl_workers(const struct config *config)
{
    return some_service_wants(config, STR("smtpd"), wants_cyrus) ? 1 : 0;
}

static bool wants_login_cache(const struct config *config)
{
    struct error unused;
    struct str map;

    return login_cache_map(config, &map, &unused) && map.len > 0;
}

/* Only where some client is to remember the logins that servers refused. */
static int proxywrite_workers(const struct config *config)
{
    return some_service_wants(config, STR("smtp"), wants_login_cache) ||
                   some_service_wants(config, STR("lmtp"), wants_login_cache)
               ? 1
               : 0;
}

static const struct role_row roles[] = {
    { "log", one, false, false, STAGE_LOG, 0 },
    { "queue", one, true, false, STAGE_QUEUE, TABLE_USE_COMMON },
    { "resolver", one, false, false, STAGE_QUEUE, 0 },
    { "anvil", one, true, false, STAGE_QUEUE, 0 },
    { "verify", verify_workers, true, false, STAGE_QUEUE, 0 },
    { "sasl", sasl_workers, false, false, STAGE_QUEUE, 0 },
    { "proxywrite", proxywrite_workers, true, false, STAGE_QUEUE, 0 },
    { "smtp", smtp_workers, false, true, STAGE_CONVERSATIONS, TABLE_USE_CLIENT },
    { "smtpd", smtpd_workers, false, true, STAGE_CONVERSATIONS,
      TABLE_USE_SERVER | TABLE_USE_COMMON },
    { "local", local_workers, false, true, STAGE_CONVERSATIONS, 0 }, /* looks itself */
    { "pickup", one, false, true, STAGE_CONVERSATIONS, TABLE_USE_COMMON },
};
enum { ROLE_COUNT = sizeof roles / sizeof *roles };

/* Who has a channel to whom, and under which name, where that is not the role's own. */
struct link_row {
    const char *a, *b;
    const char *a_as, *b_as;
};
static const struct link_row topology[] = {
    { "smtpd", "queue", NULL, NULL },
    { "smtpd", "resolver", NULL, NULL },
    { "smtp", "queue", NULL, NULL },
    { "smtp", "resolver", NULL, NULL },
    { "smtp", "proxywrite", NULL, NULL },
    { "pickup", "queue", NULL, NULL },
    { "local", "queue", NULL, NULL },
    { "local", "queue", "forwarder", "intake" }, /* what it forwards is new mail */
    { "smtpd", "anvil", NULL, NULL },
    { "smtpd", "verify", NULL, NULL },
    { "smtpd", "sasl", NULL, NULL },
    { "verify", "queue", NULL, NULL },
};

struct process;

/* A place that is to be filled: one worker of one role. */
struct seat {
    struct supervisor *supervisor;
    const struct role_row *role;
    struct process *process; /* NULL while it waits for its restart */
    struct timer restart;
    int64_t backoff_ms;
};

struct process {
    struct list link;
    struct supervisor *supervisor;
    const struct role_row *role;
    uint32_t worker;   /* never used twice, so that peers can tell a successor from it */
    struct seat *seat; /* NULL: retired, finishing what it has */
    pid_t pid;
    struct channel *control; /* NULL once it closed */
    struct endpoints *endpoints;
    int64_t started_ms;
    bool is_started; /* got control_start */
    bool is_ready;
    struct timer kill;
};

/* Two workers whose channel has ended: they get a new one if both still live then. */
struct relink {
    struct list link;
    struct supervisor *supervisor;
    uint32_t one, other;
    struct timer timer;
};

struct supervisor {
    struct loop *loop;
    struct log_context log_context;
    const struct supervisor_events *events;
    void *argument;
    int log_read_fd, log_write_fd;
    struct seat *seats[ROLE_COUNT][WORKERS_MAX];
    struct list processes;
    struct list relinks;
    struct arena arena; /* made anew with each configuration */
    const char *const *environment;
    int snapshot_fd; /* the configuration in force, sealed */
    const struct sockets *sockets;
    struct tls_tickets *tickets; /* NULL: the system has no randomness */
    uint32_t next_worker;
    unsigned lookups; /* children of user_name.h */
    bool was_ready;   /* all roles were, once */
    bool is_settling; /* not all roles are ready yet with the configuration in force */
    bool is_stopping;
    enum stop_stage stage;
    int64_t stop_duration_ms;
};

static void start_seat(struct seat *seat);

/* ---- channels ---- */

static void send_peer(struct process *process, const struct process *peer, const char *name, int fd)
{
    struct wire_control_peer message = {
        .role = str_from(name != NULL ? name : peer->role->name),
        .worker = peer->worker,
        .socket = fd,
    };

    wire_send_control_peer(process->control, &message);
}

static void link_processes(struct process *a, struct process *b, const struct link_row *row)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        log_warning(&a->supervisor->log_context, "no channel between %s and %s: %s", a->role->name,
                    b->role->name, strerror(errno));
        return;
    }
    send_peer(a, b, row->b_as, pair[0]);
    send_peer(b, a, row->a_as, pair[1]);
    close(pair[0]);
    close(pair[1]);
}

/* Every channel that the two have. */
static void link_pair(struct process *one, struct process *other)
{
    for (size_t i = 0; i < sizeof topology / sizeof *topology; i++) {
        const struct link_row *row = &topology[i];
        if (strcmp(row->a, one->role->name) == 0 && strcmp(row->b, other->role->name) == 0)
            link_processes(one, other, row);
        else if (strcmp(row->a, other->role->name) == 0 && strcmp(row->b, one->role->name) == 0)
            link_processes(other, one, row);
    }
}

static struct process *find_worker(const struct supervisor *supervisor, uint32_t worker)
{
    list_each (link, &supervisor->processes) {
        struct process *process = list_entry(link, struct process, link);
        if (process->worker == worker && process->control != NULL)
            return process;
    }
    return NULL;
}

static void relink_free(struct relink *relink)
{
    timer_clear(relink->supervisor->loop, &relink->timer);
    list_remove(&relink->link);
    memory_free(relink);
}

static void relink_due(struct timer *timer)
{
    struct relink *relink = list_entry(timer, struct relink, timer);
    struct supervisor *supervisor = relink->supervisor;
    struct process *one = find_worker(supervisor, relink->one);
    struct process *other = find_worker(supervisor, relink->other);

    relink_free(relink);
    if (one == NULL || other == NULL || supervisor->is_stopping)
        return;
    log_warning(&supervisor->log_context,
                "%s pid %d and %s pid %d lost the channel between them: making a new one",
                one->role->name, (int)one->pid, other->role->name, (int)other->pid);
    link_pair(one, other);
}

static bool is_to_be_relinked(const struct supervisor *supervisor, uint32_t one, uint32_t other)
{
    list_each (link, &supervisor->relinks) {
        const struct relink *relink = list_entry(link, struct relink, link);
        if ((relink->one == one && relink->other == other) ||
            (relink->one == other && relink->other == one))
            return true;
    }
    return false;
}

/* Nearly always the other one has just died. Where both live, both tell of it. */
static void relink_later(struct process *process, uint32_t lost_worker)
{
    struct supervisor *supervisor = process->supervisor;

    if (find_worker(supervisor, lost_worker) == NULL ||
        is_to_be_relinked(supervisor, process->worker, lost_worker))
        return;
    struct relink *relink = memory_new(sizeof *relink);
    relink->supervisor = supervisor;
    relink->one = process->worker;
    relink->other = lost_worker;
    list_append(&supervisor->relinks, &relink->link);
    timer_set(supervisor->loop, &relink->timer, clock_monotonic_ms() + RELINK_MS, relink_due);
}

/* Also with retired ones: what they have in flight still needs a queue and a resolver. */
static void link_to_all(struct process *process)
{
    list_each (link, &process->supervisor->processes) {
        struct process *other = list_entry(link, struct process, link);
        if (other != process && other->control != NULL)
            link_pair(process, other);
    }
}

static void send_listeners(struct process *process)
{
    const struct sockets *sockets = process->supervisor->sockets;

    for (size_t i = 0; i < sockets->count; i++) {
        const struct listening *each = &sockets->entries[i];
        if (strcmp(each->role, process->role->name) != 0)
            continue;
        struct wire_control_listener message = { .service_line = each->service_line,
                                                 .socket = each->fd };
        wire_send_control_listener(process->control, &message);
    }
}

static void send_configuration(struct process *process)
{
    struct wire_control_configuration message = { .snapshot = process->supervisor->snapshot_fd };

    wire_send_control_configuration(process->control, &message);
}

/* Before the listeners, which are set up with them. */
static void send_tickets(struct process *process)
{
    struct tls_tickets *tickets = process->supervisor->tickets;
    unsigned char seed[TICKET_SEED_BYTES];
    struct wire_control_tickets message = { .seed = { (const char *)seed, sizeof seed } };

    if (strcmp(process->role->name, "smtpd") != 0 || tickets == NULL)
        return;
    tls_tickets_get_seed(tickets, clock_wall_ms() / 1000, seed, &message.period);
    wire_send_control_tickets(process->control, &message);
}

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
        relink_later(process, lost.worker);
        return true;
    }
    if (number == WIRE_control_endpoint)
        return !process->is_ready && endpoints_name(process->endpoints, channel, payload);
    if (number == WIRE_control_connect)
        return endpoints_connect(process->endpoints, channel, payload);
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

static void restart_later(struct seat *seat, int64_t ran_ms)
{
    struct supervisor *supervisor = seat->supervisor;

    if (ran_ms >= HEALTHY_MS)
        seat->backoff_ms = 0;
    timer_set(supervisor->loop, &seat->restart, clock_monotonic_ms() + seat->backoff_ms,
              restart_due);
    seat->backoff_ms = seat->backoff_ms > 0 ? seat->backoff_ms * 2 : BACKOFF_FIRST_MS;
    if (seat->backoff_ms > BACKOFF_MAX_MS)
        seat->backoff_ms = BACKOFF_MAX_MS;
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
        restart_later(seat, 0);
        return;
    }
    seat->process = process;
    list_append(&supervisor->processes, &process->link);
    send_configuration(process);
    send_tickets(process);
    send_listeners(process);
    if (strcmp(seat->role->name, "log") == 0)
        wire_send_control_peer(process->control,
                               &(struct wire_control_peer){ .role = STR("log-input"),
                                                            .socket = supervisor->log_read_fd });
    link_to_all(process);
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

    log_end(process, status);
    /* What it still had to say stands in its channel. */
    process_free(process);
    if (seat != NULL) {
        seat->process = NULL;
        restart_later(seat, ran_ms);
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

    *seat = (struct seat){ .supervisor = supervisor, .role = &roles[role] };
    supervisor->seats[role][worker] = seat;
    start_seat(seat);
}

/* One that is there gets a fresh process, or in place the configuration. The older process drains
 * only after its successor was started, and the listening sockets are open all the time. */
static void renew_seat(struct supervisor *supervisor, size_t role, uint32_t worker)
{
    struct seat **place = &supervisor->seats[role][worker];

    if (roles[role].reloads) {
        if ((*place)->process != NULL && (*place)->process->control != NULL)
            send_configuration((*place)->process);
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
    fd_close(&supervisor->snapshot_fd);
    supervisor->snapshot_fd = snapshot_fd;
    supervisor->sockets = sockets;
    arena_clear(&supervisor->arena);
    supervisor->environment = environment_import(&supervisor->arena, config);
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        uint32_t wanted = (uint32_t)roles[role].workers(config);
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
    return count_retired(supervisor, &roles[role]) < RETIRED_MAX;
}

unsigned supervisor_renew(struct supervisor *supervisor, unsigned uses)
{
    for (size_t role = 0; role < ROLE_COUNT; role++)
        if ((roles[role].table_uses & uses) != 0 && !may_renew(supervisor, role))
            return uses;
    for (size_t role = 0; role < ROLE_COUNT; role++)
        for (uint32_t worker = 0; worker < WORKERS_MAX; worker++)
            if ((roles[role].table_uses & uses) != 0 && supervisor->seats[role][worker] != NULL)
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
    list_each_removable (link, &(*supervisor)->relinks)
        relink_free(list_entry(link, struct relink, link));
    list_each_removable (link, &(*supervisor)->processes)
        process_free(list_entry(link, struct process, link));
    fd_close(&(*supervisor)->snapshot_fd);
    tls_tickets_free(&(*supervisor)->tickets);
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
