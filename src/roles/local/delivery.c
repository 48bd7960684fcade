/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery.h"

#include "base/clock.h"
#include "base/memory.h"
#include "local.h"
#include "pipe.h"
#include "report.h"
#include "virtual.h"
#include "worker.h"

struct delivery *delivery_new(struct worker *worker, const struct wire_deliver_job *message)
{
    struct delivery *delivery = memory_new(sizeof *delivery);
    struct job *job = &delivery->job;

    delivery->worker = worker;
    if (!job_init(job, &worker->jobs, message)) {
        memory_free(delivery);
        return NULL;
    }
    delivery->are_settled = arena_new_array(&job->arena, job->envelope.recipient_count + 1,
                                            sizeof *delivery->are_settled);
    return delivery;
}

void delivery_free(struct delivery **delivery)
{
    if (*delivery == NULL)
        return;
    job_clear(&(*delivery)->job);
    memory_free(*delivery);
    *delivery = NULL;
}

static void deliver_to_all(struct delivery *delivery)
{
    struct outcome outcome;

    if (delivery->agent->refusal != NULL) {
        outcome_set(&outcome, "4.3.5", "mail system configuration error");
        for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++)
            report(delivery, i, &outcome);
        return;
    }
    if (delivery->agent->kind == AGENT_PIPE) {
        pipe_deliver(delivery);
        return;
    }
    for (size_t i = 0; i < delivery->job.envelope.recipient_count && !delivery->is_cancelled; i++) {
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

    delivery->job.times.agent_us = clock_wall_us();
    deliver_to_all(delivery);
    report_done(delivery);
    delivery_free(&delivery);
    job_ended(&worker->jobs);
}

void delivery_start(struct delivery *delivery)
{
    delivery->job.fiber = fiber_start(delivery->worker->loop, "delivery", deliver, delivery);
}

struct str delivery_original(const struct delivery *delivery, size_t recipient)
{
    const struct recipient *to = &delivery->job.envelope.recipients[recipient];

    return to->original_recipient.len > 0 ? to->original_recipient : to->address;
}
