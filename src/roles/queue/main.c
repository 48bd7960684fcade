/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue: the only opener of the store. It takes new mail from smtpd and pickup, decides which
 * delivery is next and hands it to the smtp workers, retries, gives up, tells senders, and answers
 * the queue tools.
 */
#include "confine.h"
#include "queue.h"
#include "roles.h"

#include "base/memory.h"
#include "service/spool.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

enum {
    USER_NAME_MS = 15000,
    /* The queue of a master that was killed sees it, ends its commit and goes. */
    PREDECESSOR_MS = 10000,
};

/* Descriptors that came before the queue was there. */
struct early {
    struct list link;
    struct str role; /* empty: a listener */
    uint32_t worker;
    int fd;
    char text[32];
};

struct queue_service {
    struct service *service;
    struct own_addresses *own_addresses;
    struct settings *settings; /* until the queue has them */
    struct store *store;
    struct queue *queue;
    struct spool_owner owner;
    struct list early;
};

static void store_notice(void *argument, const char *text)
{
    struct service *service = argument;

    log_warning(&service->log_context, "%s", text);
}

/* What is made in the spool belongs to mail_owner, whoever we are before the confinement. */
static bool open_store(struct service *service, struct queue_service *state, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    struct store_options options = {
        .folder = spool_path(&scratch, service->config, "store"),
        .may_create = true,
        .may_repair = true,
        .lock_wait_ms = PREDECESSOR_MS,
        .is_any_filesystem = service->config->store_any_filesystem,
        .notice = store_notice,
        .notice_argument = service,
    };
    bool is_root = geteuid() == 0;

    if (is_root && (setegid(state->owner.gid) < 0 || seteuid(state->owner.uid) < 0))
        return error_errno(error, "become the mail_owner");
    state->store = store_open(&options, error);
    if (is_root && (seteuid(0) < 0 || setegid(0) < 0))
        return error_errno(error, "become root again");
    if (state->store == NULL && error->system_errno == EROFS)
        return error_set(error,
                         "the file system with the queue is read-only, and no mail is taken or "
                         "sent: see the kernel's log (dmesg), check the file system (fsck) and "
                         "mount it again");
    return state->store != NULL;
}

static bool queue_role_start(struct service *service, struct error *error)
{
    struct queue_service *state = memory_new(sizeof *state);

    tzset(); /* Received: and notifications show local time, and its rules are in a file */
    service->state = state;
    state->service = service;
    list_init(&state->early);
    state->own_addresses = own_addresses_new(service->config->inet_interfaces,
                                             service->config->proxy_interfaces, error);
    if (state->own_addresses == NULL)
        return false;
    if (!spool_owner_find(service->config, &state->owner, error))
        return false;
    struct settings_surroundings surroundings = { service->log, state->own_addresses, NULL,
                                                  state->owner.uid };
    state->settings = settings_new(service->source, service->config, &surroundings, error);
    return state->settings != NULL && open_store(service, state, error);
}

static void drained(void *argument)
{
    struct queue_service *state = argument;

    service_drained(state->service);
}

/* The log says what is wrong; whoever supervises us starts us anew. */
static void broken(void *argument, const char *text)
{
    struct queue_service *state = argument;

    (void)text;
    service_drained(state->service);
}

static void rested(void *argument)
{
    struct queue_service *state = argument;

    service_reload(state->service);
}

static bool may_reload(const struct service *service)
{
    const struct queue_service *state = service->state;

    return state->queue == NULL || queue_may_reload(state->queue);
}

static bool user_name(void *argument, uid_t uid, struct buf *name, struct error *error)
{
    struct queue_service *state = argument;
    struct service *service = state->service;

    return connector_ask_user(service->connector, uid, loop_now_ms(service->loop) + USER_NAME_MS,
                              name, error);
}

static bool add_peer(struct queue_service *state, struct str role, uint32_t worker, int fd,
                     struct error *error)
{
    if (role.len == 0)
        return tools_listen(state->queue, fd, error);
    if (str_equal(role, STR("smtpd")) || str_equal(role, STR("pickup")) ||
        str_equal(role, STR("forwarder")))
        return intake_add(state->queue, fd, error);
    if (str_equal(role, STR("smtp")))
        return workers_add(state->queue, TRANSPORT_WORKER, worker, fd, error);
    if (str_equal(role, STR("verify")))
        return probes_attach(state->queue, fd, error);
    if (str_equal(role, STR("local")))
        return workers_add(state->queue, TRANSPORT_LOCAL, worker, fd, error);
    close(fd);
    return error_set(error, "the queue has no channel to a %.*s", STR_ARGS(role));
}

/* Threads and system calls are fenced from here on, so the committer begins behind the fence. */
static bool queue_role_confine(struct service *service, struct error *error)
{
    struct queue_service *state = service->state;
    struct queue_options options = {
        .loop = service->loop,
        .store = state->store,
        .settings = state->settings,
        .owner_uid = state->owner.uid,
        .user_name = user_name,
        .rested = rested,
        .drained = drained,
        .broken = broken,
        .argument = state,
    };
    bool is_good = true;

    if (!queue_confine(service, error))
        return false;
    state->queue = queue_new(&options, error);
    if (state->queue == NULL)
        return false;
    state->settings = NULL;
    list_each_removable (link, &state->early) {
        struct early *early = list_entry(link, struct early, link);
        is_good = is_good && add_peer(state, early->role, early->worker, early->fd, error);
        list_remove(&early->link);
        memory_free(early);
    }
    return is_good;
}

static bool keep_or_add(struct queue_service *state, struct str role, uint32_t worker, int fd,
                        struct error *error)
{
    if (state->queue != NULL)
        return add_peer(state, role, worker, fd, error);
    struct early *early = memory_new(sizeof *early);
    struct str name = str_take(role, sizeof early->text);
    memcpy(early->text, name.ptr, name.len);
    early->role = str_of(early->text, name.len);
    early->worker = worker;
    early->fd = fd;
    list_append(&state->early, &early->link);
    return true;
}

static bool queue_role_listener(struct service *service, const struct master_service *line, int fd,
                                struct error *error)
{
    (void)line;
    return keep_or_add(service->state, STR(""), 0, fd, error);
}

static bool queue_role_peer(struct service *service, struct str role, uint32_t worker, int fd,
                            struct error *error)
{
    return keep_or_add(service->state, role, worker, fd, error);
}

static void queue_role_ready(struct service *service)
{
    struct queue_service *state = service->state;

    queue_start(state->queue);
}

static bool queue_role_reload(struct service *service, struct config_source *source,
                              struct config *config, struct error *error)
{
    struct queue_service *state = service->state;
    struct settings_surroundings surroundings = {
        .log = service->log,
        .own_addresses = state->own_addresses,
        .old = state->queue != NULL ? state->queue->settings : state->settings,
        .owner_uid = state->owner.uid,
    };
    struct settings *settings = settings_new(source, config, &surroundings, error);

    if (settings == NULL)
        return false;
    if (state->queue != NULL) {
        queue_reload(state->queue, settings);
    } else {
        settings_free(&state->settings);
        state->settings = settings;
    }
    return true;
}

static void queue_role_wakeup(struct service *service, uint8_t reason)
{
    struct queue_service *state = service->state;

    (void)reason; /* the only one there is for a queue: try deferred mail now */
    queue_flush(state->queue);
}

static void queue_role_drain(struct service *service, int64_t deadline_ms)
{
    struct queue_service *state = service->state;

    (void)deadline_ms; /* the skeleton keeps it; what is committed by then counts */
    queue_drain(state->queue);
}

static void queue_role_status(struct service *service, struct buf *out)
{
    struct queue_service *state = service->state;

    if (state->queue != NULL)
        queue_status(state->queue, out);
}

static void queue_role_stop(struct service *service)
{
    struct queue_service *state = service->state;

    if (state == NULL)
        return;
    queue_free(&state->queue);
    if (state->store != NULL)
        store_close(&state->store);
    settings_free(&state->settings);
    own_addresses_free(&state->own_addresses);
    list_each_removable (link, &state->early) {
        struct early *early = list_entry(link, struct early, link);
        close(early->fd);
        memory_free(early);
    }
    memory_free(state);
}

const struct role queue_role = {
    .name = "queue",
    .log_name = "qmgr",
    .command = "qmgr",
    .start = queue_role_start,
    .confine = queue_role_confine,
    .listener = queue_role_listener,
    .peer = queue_role_peer,
    .ready = queue_role_ready,
    .reloads = true,
    .reload = queue_role_reload,
    .may_reload = may_reload,
    .wakeup = queue_role_wakeup,
    .drain = queue_role_drain,
    .status = queue_role_status,
    .stop = queue_role_stop,
};
