/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pickup role: watches the maildrop, where `sendmail` leaves mail, and hands each file to the
 * queue, a few at a time. The files are written by users, so each is checked before it counts.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "confine.h"
#include "intake.h"
#include "loop/fiber.h"
#include "mail/maildrop_file.h"
#include "service/service.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    INTAKES_MAX = 20,         /* at the same time */
    NAMES_MAX = 1000,         /* from one look into the folder */
    SCAN_INTERVAL_MS = 60000, /* also without a notice */
    POLL_INTERVAL_MS = 1000,  /* where the kernel gives no notices */
    RETRY_MS = 5000,
    DRAFT_AGE_S = 36 * 3600, /* what is older belongs to nobody any more */
};

struct pickup {
    struct service *service;
    struct submission *submission;
    struct own_addresses *own_addresses;
    struct cleanup *cleanup;
    int folder_fd, corrupt_fd, notice_fd;
    struct watch notices;
    struct timer scan_timer;
    struct map *known;   /* names waiting, in work, or to be left alone */
    struct list waiting; /* of struct job */
    unsigned active_count;
    bool has_more; /* the last look did not see the whole folder */
    bool is_draining;
    uint64_t taken_count;
};

struct job {
    struct list link;
    struct pickup *pickup;
    char *name;
};

static void job_free(struct job *job)
{
    memory_free(job->name);
    memory_free(job);
}

/* The timer has its function from the start (pickup_start). */
static void scan_later(struct pickup *pickup, int64_t delay_ms)
{
    int64_t deadline_ms = loop_now_ms(pickup->service->loop) + delay_ms;

    if (pickup->scan_timer.heap_slot != 0 && pickup->scan_timer.deadline_ms <= deadline_ms)
        return;
    timer_set(pickup->service->loop, &pickup->scan_timer, deadline_ms, pickup->scan_timer.expired);
}

static enum intake_outcome run_intake(const struct job *job)
{
    const struct pickup *pickup = job->pickup;
    struct service *service = pickup->service;
    struct intake intake = {
        .loop = service->loop,
        .submission = pickup->submission,
        .config = service->config,
        .pickup_log = service->log_context,
        .cleanup = pickup->cleanup,
        .folder_fd = pickup->folder_fd,
        .corrupt_fd = pickup->corrupt_fd,
        .name = job->name,
    };

    return intake_run(&intake);
}

static struct job *next_job(struct pickup *pickup)
{
    if (pickup->is_draining || list_is_empty(&pickup->waiting))
        return NULL;
    struct list *link = pickup->waiting.next;
    list_remove(link);
    return list_entry(link, struct job, link);
}

static void finish_job(struct job *job, enum intake_outcome outcome)
{
    struct pickup *pickup = job->pickup;

    switch (outcome) {
    case INTAKE_TAKEN:
        pickup->taken_count++;
        map_remove(pickup->known, str_from(job->name));
        break;
    case INTAKE_TRY_AGAIN:
        map_remove(pickup->known, str_from(job->name));
        scan_later(pickup, RETRY_MS);
        break;
    case INTAKE_LEAVE_ALONE:
        break;
    }
    job_free(job);
}

/* A fiber: one file after the other while there are any. */
static void work(void *argument)
{
    struct pickup *pickup = argument;
    struct job *job;

    while ((job = next_job(pickup)) != NULL)
        finish_job(job, run_intake(job));
    pickup->active_count--;
    if (pickup->is_draining && pickup->active_count == 0)
        service_drained(pickup->service);
    else if (pickup->has_more && pickup->active_count == 0)
        scan_later(pickup, 0);
}

static void start_workers(struct pickup *pickup)
{
    size_t waiting_count = 0;

    list_each (link, &pickup->waiting)
        waiting_count++;
    while (waiting_count-- > 0 && pickup->active_count < INTAKES_MAX) {
        pickup->active_count++;
        fiber_start(pickup->service->loop, "pickup", work, pickup);
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What a postdrop that was killed has left behind: never a message that somebody was told of. */
static void remove_stale_draft(struct pickup *pickup, const char *name)
{
    struct stat status;

    if (!maildrop_name_is_valid(str_from(name + 1)) ||
        fstatat(pickup->folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        status.st_mtime > clock_wall_ms() / 1000 - DRAFT_AGE_S)
        return;
    if (unlinkat(pickup->folder_fd, name, 0) == 0)
        log_info(&pickup->service->log_context, "removed the unfinished maildrop file %s of uid %u",
                 name, status.st_uid);
}

static size_t read_names(struct pickup *pickup, DIR *folder, char **names)
{
    const struct dirent *entry;
    size_t count = 0;

    pickup->has_more = false;
    while ((entry = readdir(folder)) != NULL) {
        struct str name = str_from(entry->d_name);
        if (entry->d_name[0] == '.')
            remove_stale_draft(pickup, entry->d_name);
        if (!maildrop_name_is_valid(name) || map_find(pickup->known, name) != NULL)
            continue;
        if (count == NAMES_MAX) {
            pickup->has_more = true;
            break;
        }
        names[count++] = memory_copy_string(entry->d_name);
    }
    return count;
}

static void add_job(struct pickup *pickup, char *name)
{
    struct job *job = memory_new(sizeof *job);

    job->pickup = pickup;
    job->name = name;
    list_init(&job->link);
    list_append(&pickup->waiting, &job->link);
    map_set(pickup->known, str_from(name), job);
}

/* One look into the folder; by name, which is by time. */
static void scan(struct pickup *pickup)
{
    int fd = openat(pickup->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;

    if (folder == NULL) {
        log_warning(&pickup->service->log_context, "cannot read the maildrop: %s", strerror(errno));
        fd_close(&fd);
        return;
    }
    char **names = memory_new_array(NAMES_MAX, sizeof *names);
    size_t count = read_names(pickup, folder, names);
    closedir(folder);
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++)
        add_job(pickup, names[i]);
    memory_free(names);
}

/* While the queue takes no mail, files stay where they are safe. */
static void scan_and_start(struct pickup *pickup)
{
    int64_t interval_ms = pickup->notice_fd >= 0 ? SCAN_INTERVAL_MS : POLL_INTERVAL_MS;

    if (pickup->is_draining)
        return;
    if (!submission_is_open(pickup->submission, NULL)) {
        scan_later(pickup, RETRY_MS);
        return;
    }
    if (list_is_empty(&pickup->waiting))
        scan(pickup);
    else
        pickup->has_more = true;
    start_workers(pickup);
    scan_later(pickup, interval_ms);
}

static void on_timer(struct timer *timer)
{
    struct pickup *pickup = list_entry(timer, struct pickup, scan_timer);

    scan_and_start(pickup);
}

static void on_notice(struct watch *watch, uint32_t events)
{
    struct pickup *pickup = list_entry(watch, struct pickup, notices);
    char ignored[4096];

    while (read(watch->fd, ignored, sizeof ignored) > 0)
        ; /* which file it was does not matter: a look into the folder finds it */
    scan_and_start(pickup);
}

static void watch_folder(struct pickup *pickup, const char *path)
{
    struct error error;
    autoclose int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (fd < 0 || inotify_add_watch(fd, path, IN_MOVED_TO | IN_ONLYDIR) < 0)
        error_errno(&error, "watch %s", path);
    else if (watch_open(pickup->service->loop, &pickup->notices, fd, EPOLLIN, on_notice, &error))
        pickup->notice_fd = fd_take(&fd);
    if (pickup->notice_fd < 0)
        log_warning(&pickup->service->log_context, "%s; looking into it every second instead",
                    error.message);
}

static bool open_folders(struct pickup *pickup, struct error *error)
{
    struct arena scratch = { 0 };
    struct str queue_directory = pickup->service->config->queue_directory;
    const char *maildrop = arena_printf(&scratch, "%.*s/maildrop", STR_ARGS(queue_directory));
    const char *corrupt = arena_printf(&scratch, "%.*s/corrupt", STR_ARGS(queue_directory));

    pickup->folder_fd = open(maildrop, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pickup->corrupt_fd = open(corrupt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (pickup->folder_fd < 0)
        error_errno(error, "open %s", maildrop);
    else
        watch_folder(pickup, maildrop);
    arena_clear(&scratch);
    return pickup->folder_fd >= 0;
}

static bool make_cleanup(struct pickup *pickup, struct error *error)
{
    struct service *service = pickup->service;
    struct config *config = service->config;

    pickup->own_addresses =
        own_addresses_new(config->inet_interfaces, config->proxy_interfaces, error);
    if (pickup->own_addresses == NULL)
        return false;
    struct cleanup_options options = {
        .config = config,
        .own = pickup->own_addresses,
        .log = service_log_context(service, config, "cleanup"),
    };
    pickup->cleanup = cleanup_new(&options, error);
    return pickup->cleanup != NULL;
}

static bool pickup_start(struct service *service, struct error *error)
{
    struct pickup *pickup = memory_new(sizeof *pickup);

    service->state = pickup;
    pickup->service = service;
    pickup->folder_fd = pickup->corrupt_fd = pickup->notice_fd = -1;
    pickup->notices.fd = -1;
    pickup->scan_timer.expired = on_timer;
    pickup->submission = submission_new(service->loop);
    pickup->known = map_new();
    list_init(&pickup->waiting);
    return make_cleanup(pickup, error) && open_folders(pickup, error);
}

static bool pickup_peer(struct service *service, struct str role, uint32_t worker, int fd,
                        struct error *error)
{
    struct pickup *pickup = service->state;

    if (str_equal(role, STR("queue")))
        return submission_attach(pickup->submission, worker, fd, error);
    fd_close(&fd);
    return true;
}

static void pickup_ready(struct service *service)
{
    scan_later(service->state, 0);
}

static void pickup_wakeup(struct service *service, uint8_t reason)
{
    scan_and_start(service->state);
}

static void pickup_drain(struct service *service, int64_t deadline_ms)
{
    struct pickup *pickup = service->state;

    pickup->is_draining = true;
    timer_clear(service->loop, &pickup->scan_timer);
    if (pickup->active_count == 0)
        service_drained(service);
}

static void pickup_status(struct service *service, struct buf *out)
{
    const struct pickup *pickup = service->state;

    buf_printf(out, "taken %llu, in work %u\n", (unsigned long long)pickup->taken_count,
               pickup->active_count);
}

static void pickup_stop(struct service *service)
{
    struct pickup *pickup = service->state;

    if (pickup == NULL)
        return;
    list_each_removable (link, &pickup->waiting) {
        list_remove(link);
        job_free(list_entry(link, struct job, link));
    }
    timer_clear(service->loop, &pickup->scan_timer);
    if (pickup->notices.fd >= 0)
        watch_close(service->loop, &pickup->notices);
    submission_free(&pickup->submission);
    cleanup_free(&pickup->cleanup);
    own_addresses_free(&pickup->own_addresses);
    map_free(&pickup->known);
    fd_close(&pickup->folder_fd);
    fd_close(&pickup->corrupt_fd);
    fd_close(&pickup->notice_fd);
    memory_free(pickup);
    service->state = NULL;
}

extern const struct role pickup_role;
const struct role pickup_role = {
    .name = "pickup",
    .log_name = "pickup",
    .command = "pickup",
    .may_ask_table_servers = true,
    .start = pickup_start,
    .confine = pickup_confine,
    .peer = pickup_peer,
    .ready = pickup_ready,
    .wakeup = pickup_wakeup,
    .drain = pickup_drain,
    .status = pickup_status,
    .stop = pickup_stop,
};
