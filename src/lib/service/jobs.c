/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs.h"

#include "base/ensure.h"
#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* ---- one job ---- */

bool job_init(struct job *job, struct jobs *jobs, const struct wire_deliver_job *message)
{
    struct error error;

    list_init(&job->link);
    job->jobs = jobs;
    job->number = message->job;
    job->generation = jobs->queue_generation;
    job->message_id = message->queue_id;
    job->queue_id = queue_id_format(message->queue_id, jobs->options.has_long_queue_ids);
    job->nexthop = arena_copy(&job->arena, message->nexthop);
    if (!envelope_decode(&job->arena, arena_copy(&job->arena, message->envelope), &job->envelope,
                         &error)) {
        job_clear(job);
        return false;
    }
    job->content = arena_copy(&job->arena, message->content);
    job->is_content_expected = message->is_content_beside != 0;
    job->times.arrival_us = job->envelope.arrival_us;
    job->times.queue_manager_us = message->queue_manager_us;
    return true;
}

/* Private: before Linux 6.7 what is sealed against writing could not be mapped as shared. */
static bool map_content(struct job *job, int fd, struct error *error)
{
    enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };
    autoclose int content = fd;
    struct stat status;
    int seals = fcntl(content, F_GET_SEALS);

    job->is_content_expected = false;
    if (seals < 0 || (seals & SEALS) != SEALS)
        return error_set(error, "the content's descriptor is not sealed");
    if (fstat(content, &status) != 0)
        return error_errno(error, "content");
    if (status.st_size == 0)
        return true;
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, content, 0);
    if (bytes == MAP_FAILED)
        return error_errno(error, "map the content");
    job->content = str_of(bytes, (size_t)status.st_size);
    job->is_content_mapped = true;
    return true;
}

void job_clear(struct job *job)
{
    if (job->is_content_mapped)
        (void)munmap((void *)(uintptr_t)job->content.ptr, job->content.len);
    list_remove(&job->link);
    arena_clear(&job->arena);
}

struct channel *job_queue(const struct job *job)
{
    return job->generation == job->jobs->queue_generation ? job->jobs->queue : NULL;
}

void job_ended(struct jobs *jobs)
{
    jobs->open_count--;
    jobs_look_for_end(jobs);
}

/* ---- what the queue says ---- */

static bool on_job(struct jobs *jobs, const struct wire_deliver_job *message)
{
    const struct job_events *events = jobs->options.events;
    struct job *job = events->received(jobs->options.owner, message);

    if (job == NULL)
        return false;
    list_append(&jobs->all, &job->link);
    jobs->open_count++;
    jobs->count++;
    if (jobs->is_draining)
        events->refuse(job, NULL);
    else if (!job->is_content_expected)
        events->begin(job);
    return true;
}

/* The latest come last. */
static struct job *find_job(struct jobs *jobs, uint64_t number)
{
    for (struct list *link = jobs->all.previous; link != &jobs->all; link = link->previous) {
        struct job *job = list_entry(link, struct job, link);
        if (job->number == number && job->generation == jobs->queue_generation)
            return job;
    }
    return NULL;
}

static void on_content(struct jobs *jobs, const struct wire_deliver_content_fd *message)
{
    struct job *job = find_job(jobs, message->job);
    int fd = message->content_fd;
    struct error error;

    if (job == NULL || !job->is_content_expected) {
        fd_close(&fd); /* the job was refused */
        return;
    }
    if (map_content(job, fd, &error)) {
        jobs->options.events->begin(job);
        return;
    }
    log_warning(&jobs->options.log, "%s: %s", job->queue_id.text, error.message);
    jobs->options.events->refuse(job, "the message's content could not be read");
}

static void cancel(struct job *job)
{
    const struct job_events *events = job->jobs->options.events;

    if (job->is_content_expected)
        events->refuse(job, NULL);
    else if (events->cancel != NULL)
        events->cancel(job);
}

static void on_cancel(struct jobs *jobs, uint64_t number)
{
    struct job *job = find_job(jobs, number);

    if (job != NULL && !job->is_content_expected)
        cancel(job);
}

static bool queue_received(void *owner, struct channel *channel, uint16_t number,
                           struct str payload)
{
    struct jobs *jobs = owner;
    union {
        struct wire_deliver_job job;
        struct wire_deliver_content_fd content;
        struct wire_deliver_cancel cancel;
    } message;

    switch (number) {
    case WIRE_deliver_job:
        return wire_decode_deliver_job(channel, payload, &message.job) &&
               on_job(jobs, &message.job);
    case WIRE_deliver_content_fd:
        if (!wire_decode_deliver_content_fd(channel, payload, &message.content))
            return false;
        on_content(jobs, &message.content);
        return true;
    case WIRE_deliver_cancel:
        if (!wire_decode_deliver_cancel(channel, payload, &message.cancel))
            return false;
        on_cancel(jobs, message.cancel.job);
        return true;
    default:
        return false;
    }
}

/* Without the queue nobody hears the results: what can be given up is, and the queue's successor
 * begins again. */
static void queue_closed(void *owner, struct channel *channel, const char *reason)
{
    struct jobs *jobs = owner;

    (void)reason; /* the master logs why the queue ended */
    if (jobs->queue == channel)
        channel_free(&jobs->queue);
    jobs_cancel_all(jobs);
}

static const struct channel_events queue_events = { .received = queue_received,
                                                    .closed = queue_closed };

/* ---- life ---- */

void jobs_init(struct jobs *jobs, const struct jobs_options *options)
{
    *jobs = (struct jobs){ .options = *options };
    list_init(&jobs->all);
}

bool jobs_attach(struct jobs *jobs, int fd, struct error *error)
{
    struct channel *channel = channel_new(jobs->options.loop, fd, &queue_events, jobs, error);

    if (channel == NULL)
        return error_context(error, "channel to the queue");
    if (jobs->queue != NULL) {
        channel_free(&jobs->queue);
        jobs_cancel_all(jobs);
    }
    jobs->queue = channel;
    jobs->queue_generation++;
    return true;
}

void jobs_look_for_end(struct jobs *jobs)
{
    const struct jobs_options *options = &jobs->options;

    if (!jobs->is_draining || jobs->open_count > 0 ||
        (options->events->is_busy != NULL && options->events->is_busy(options->owner)))
        return;
    if (jobs->queue != NULL) {
        wire_send_deliver_leaving(jobs->queue,
                                  &(struct wire_deliver_leaving){ .job_count = jobs->count });
        channel_flush(jobs->queue);
    }
    options->drained(options->argument);
}

void jobs_drain(struct jobs *jobs)
{
    jobs->is_draining = true;
    jobs_look_for_end(jobs);
}

void jobs_cancel_all(struct jobs *jobs)
{
    list_each_removable (link, &jobs->all)
        cancel(list_entry(link, struct job, link));
}

void jobs_abandon_all(struct jobs *jobs)
{
    list_each_removable (link, &jobs->all) {
        struct job *job = list_entry(link, struct job, link);
        if (job->is_content_expected)
            jobs->options.events->refuse(job, NULL);
        else if (job->fiber != NULL)
            fiber_cancel(job->fiber);
    }
}

void jobs_clear(struct jobs *jobs)
{
    ensure(jobs->open_count == 0);
    if (jobs->queue != NULL)
        channel_free(&jobs->queue);
}
