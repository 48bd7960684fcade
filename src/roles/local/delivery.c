/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "local.h"
#include "pipe.h"
#include "report.h"
#include "virtual.h"
#include "worker.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct delivery *delivery_new(struct worker *worker, const struct wire_deliver_job *job)
{
    struct delivery *delivery = memory_new(sizeof *delivery);
    struct error error;

    delivery->worker = worker;
    list_init(&delivery->by_worker);
    delivery->job = job->job;
    delivery->queue_generation = worker->queue_generation;
    delivery->queue_number = job->queue_id;
    delivery->queue_id = queue_id_format(job->queue_id, worker->has_long_queue_ids);
    delivery->nexthop = arena_copy(&delivery->arena, job->nexthop);
    if (!envelope_decode(&delivery->arena, arena_copy(&delivery->arena, job->envelope),
                         &delivery->envelope, &error)) {
        delivery_free(&delivery);
        return NULL;
    }
    delivery->are_settled = arena_new_array(
        &delivery->arena, delivery->envelope.recipient_count + 1, sizeof *delivery->are_settled);
    delivery->is_content_expected = job->is_content_beside;
    if (!job->is_content_beside)
        delivery->content = arena_copy(&delivery->arena, job->content);
    delivery->times.arrival_us = delivery->envelope.arrival_us;
    delivery->times.queue_manager_us = job->queue_manager_us;
    return delivery;
}

bool delivery_set_content(struct delivery *delivery, int fd, struct error *error)
{
    autoclose int content_fd = fd;
    const int needed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    struct stat status;

    delivery->is_content_expected = false;
    int seals = fcntl(content_fd, F_GET_SEALS);
    if (seals < 0 || (seals & needed) != needed)
        return error_set(error, "the content's memory is not sealed");
    if (fstat(content_fd, &status) < 0)
        return error_errno(error, "stat the content");
    if (status.st_size == 0)
        return true;
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, content_fd, 0);
    if (bytes == MAP_FAILED)
        return error_errno(error, "map the content");
    delivery->content = str_of(bytes, (size_t)status.st_size);
    delivery->is_content_mapped = true;
    return true;
}

void delivery_free(struct delivery **delivery)
{
    struct delivery *gone = *delivery;

    if (gone == NULL)
        return;
    list_remove(&gone->by_worker);
    if (gone->is_content_mapped)
        munmap((void *)(uintptr_t)gone->content.ptr, gone->content.len);
    arena_clear(&gone->arena);
    memory_free(gone);
    *delivery = NULL;
}

static void deliver_to_all(struct delivery *delivery)
{
    struct outcome outcome;

    if (delivery->agent->refusal != NULL) {
        outcome_set(&outcome, "4.3.5", "mail system configuration error");
        for (size_t i = 0; i < delivery->envelope.recipient_count; i++)
            report(delivery, i, &outcome);
        return;
    }
    if (delivery->agent->kind == AGENT_PIPE) {
        pipe_deliver(delivery);
        return;
    }
    for (size_t i = 0; i < delivery->envelope.recipient_count && !delivery->is_cancelled; i++) {
        if (delivery->agent->kind == AGENT_LOCAL)
            local_deliver(delivery, i);
        else
            virtual_deliver(delivery, i);
    }
}

static void deliver(void *argument)
{
    struct delivery *delivery = argument;
    struct worker *worker = delivery->worker;

    delivery->times.agent_us = clock_wall_us();
    deliver_to_all(delivery);
    report_done(delivery);
    delivery_free(&delivery);
    worker_delivery_ended(worker);
}

void delivery_start(struct delivery *delivery)
{
    delivery->fiber = fiber_start(delivery->worker->loop, "delivery", deliver, delivery);
}

struct str delivery_original(const struct delivery *delivery, size_t recipient)
{
    const struct recipient *to = &delivery->envelope.recipients[recipient];

    return to->original_recipient.len > 0 ? to->original_recipient : to->address;
}
