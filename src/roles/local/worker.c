/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include "delivery.h"
#include "report.h"

/* What each event of a job is here. */
static struct delivery *delivery_of(struct job *job)
{
    return list_entry(job, struct delivery, job);
}

static void refuse(struct job *job, const char *reason)
{
    struct delivery *delivery = delivery_of(job);
    struct jobs *jobs = job->jobs;
    struct outcome outcome;

    for (size_t i = 0; reason != NULL && i < job->envelope.recipient_count; i++) {
        outcome_set(&outcome, "4.3.0", "%s", reason);
        report(delivery, i, &outcome);
    }
    report_done(delivery);
    delivery_free(&delivery);
    job_ended(jobs);
}

static struct job *received(void *owner, const struct wire_deliver_job *message)
{
    struct worker *worker = owner;
    struct delivery *delivery = delivery_new(worker, message);

    if (delivery == NULL)
        return NULL;
    delivery->agent = agents_find(&worker->agents, message->transport);
    return &delivery->job;
}

static void begin(struct job *job)
{
    struct delivery *delivery = delivery_of(job);

    if (delivery->agent == NULL)
        refuse(job, "mail transport unavailable");
    else
        delivery_start(delivery);
}

/* A delivery that has begun goes to its end. */
static const struct job_events job_events = { .received = received,
                                              .begin = begin,
                                              .refuse = refuse };

void worker_init(struct worker *worker, const struct worker_options *options)
{
    *worker = (struct worker){ .loop = options->loop,
                               .log = options->log,
                               .delay_decimals = options->config->delay_logging_resolution_limit };
    jobs_init(&worker->jobs,
              &(struct jobs_options){ .loop = options->loop,
                                      .log = options->log,
                                      .events = &job_events,
                                      .owner = worker,
                                      .has_long_queue_ids = options->config->enable_long_queue_ids,
                                      .drained = options->drained,
                                      .argument = options->argument });
    worker->submission = submission_new(options->loop);
    agents_init(&worker->agents, options->source, options->own_addresses, options->log.log);
}

void worker_clear(struct worker *worker)
{
    jobs_clear(&worker->jobs);
    submission_free(&worker->submission);
    agents_clear(&worker->agents);
    buf_free(&worker->scratch);
}
