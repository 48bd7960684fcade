/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue over a store in a folder of its own, with the other ends of its channels: a submitter
 * (as smtpd or pickup), delivery workers (as smtp) and a tool, played by the test in the same loop.
 */
#pragma once

#include "queue.h"
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 3, ANSWERS_MAX = 20000, JOB_RECIPIENTS_MAX = 64 };

/* A delivery that a played worker was given. */
struct job {
    uint64_t job, queue_id;
    char transport[64], nexthop[128];
    char recipients[JOB_RECIPIENTS_MAX][80];
    uint32_t recipient_count;
    size_t content_len;
    uint32_t content_sum; /* of all its bytes */
    bool is_beside, is_done;
    int worker;
};

struct world;
struct played_worker {
    struct world *world;
    int number;
    struct channel *channel;
    bool is_closed;
};

struct answer {
    uint16_t number; /* WIRE_submit_… */
    uint64_t transaction;
    uint32_t code;
};

struct world {
    char folder[64];
    const char *parameters;
    struct loop *loop;
    struct log *log;
    int log_fd;
    struct buf lines; /* "tag: text\n" of all that was logged */
    struct config_source source;
    struct config *config;
    struct store *store;
    struct queue *queue;
    bool is_drained, is_broken;

    struct channel *submitter;
    bool is_submitter_closed;
    uint64_t ids[4096];
    size_t id_count, id_next;
    struct answer answers[ANSWERS_MAX];
    size_t answer_count, accepted_count, refused_count;
    bool is_gate_open;
    uint64_t transactions;

    struct played_worker workers[WORKERS];
    struct job *jobs;
    size_t job_count, job_capacity;
    /* Called for each job, when it is there whole; NULL: it stays in flight. */
    void (*on_job)(struct world *world, struct job *job);

    struct channel *tool;
    struct buf tool_ids; /* uint64_t of each tool_message */
    uint8_t tool_queues[1024];
    size_t tool_message_count, tool_content_bytes;
    bool is_tool_done, is_tool_closed;
    uint32_t tool_status;
    size_t rest_count; /* queue_options.rested */
    uint64_t tool_count, tool_released;

    struct timer poll, limit;
    bool (*condition)(struct world *world);
};

/* For cmocka; the tests that need other parameters call world_restart with them. */
int world_setup(void **state);
int world_teardown(void **state);
/* Stops without a drain (as a crash would, but for commits that are on their way) and starts over
 * the same store; `parameters` NULL: the same as before. */
void world_restart(struct world *world, const char *parameters);
void world_stop(struct world *world);
void world_start(struct world *world);

/* Runs the loop until the condition holds; fails the test after ten seconds. */
void world_run(struct world *world, bool (*condition)(struct world *world));
void world_run_ms(struct world *world, int64_t duration_ms);
bool world_has_line(struct world *world, const char *text);
size_t world_count_lines(struct world *world, const char *text);

void world_connect_submitter(struct world *world);
void world_connect_worker(struct world *world, int number); /* an smtp worker */
void world_connect_kind(struct world *world, enum transport_kind kind, int number);
void world_connect_tool(struct world *world);

struct mail {
    const char *sender;
    const char *recipients; /* separated by blanks */
    size_t recipient_count; /* where not 0: user1@HOST … of `recipients`, a host */
    const char *content;
    int64_t age_s;
    uint8_t dsn_notify;
};
/* Submits and returns the queue id; the answer comes in world_run. */
uint64_t world_submit(struct world *world, const struct mail *mail);
void world_envelope(const struct mail *mail, struct buf *out);
uint64_t world_next_id(struct world *world); /* a leased one */
bool is_answered(struct world *world);       /* every submission so far */
bool is_queue_empty(struct world *world);
bool is_tool_done(struct world *world);

void job_result(struct world *world, struct job *job, uint32_t recipient,
                enum delivery_status status, const char *dsn, const char *text);
void job_done(struct world *world, struct job *job, enum site_outcome site, const char *reason);
/* Ready-made on_job functions. */
void deliver_all(struct world *world, struct job *job);
void defer_all(struct world *world, struct job *job);
void bounce_all(struct world *world, struct job *job);
void fail_site(struct world *world, struct job *job);
struct job *find_job(struct world *world, uint64_t queue_id);
