/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small world around one smtp worker: a queue that hands it jobs and keeps the results, a
 * resolver that answers from a table, and servers on loopback addresses that play transcripts.
 * Everything runs in one loop, so a test is deterministic but for the kernel's sockets.
 *
 * A server's transcript is text, a line for each step:
 *   S: text   send the text and CRLF
 *   R: text   send the text as it is; \r \n \e \0 stand for bytes
 *   C: text   read a line and compare it; "C: *" takes any
 *   B:        read the content up to its final dot, keep it
 *   X: close | reset | wait | sleep | flood
             end: close, RST, read and say nothing, do neither for 1.5 s, send 250- for ever
 * After the last step a QUIT or the end of the connection is expected.
 */
#pragma once

#include "worker.h"

#include "base/buf.h"
#include "loop/loop.h"
#include "net/listener.h"

enum { WORLD_SERVERS = 6, WORLD_CONNECTIONS = 8, WORLD_RECORDS = 256, WORLD_RESULTS = 64 };

struct world_server {
    struct world *world;
    struct listener *listener;
    const char *transcripts[WORLD_CONNECTIONS]; /* one for each connection, in order */
    int connection_count;
    int active_count;
    struct buf content; /* what B: read last, dots still stuffed */
};

struct world_record {
    const char *type; /* "MX", "A", "AAAA" */
    const char *name;
    const char *value; /* "10 mx.example.com", "127.0.0.2"; "NXDOMAIN", "SERVFAIL", "NODATA" */
};

struct world {
    struct loop *loop;
    struct log *log;
    int log_fd;
    struct config_source source;
    struct config *config;
    struct worker worker;
    struct channel *queue;
    struct channel *resolver;
    struct world_server servers[WORLD_SERVERS]; /* on 127.0.0.1, 127.0.0.2, … */
    uint16_t port;
    struct world_record records[WORLD_RECORDS];
    size_t record_count;
    size_t query_count;
    struct buf results;  /* "1/0 sent 2.0.0 diagnostic\n" (job/recipient), "1 worked\n" */
    struct buf lines;    /* the log, without time and tag */
    struct buf mistakes; /* what a transcript did not expect */
    size_t done_count, done_wanted;
    struct timer watchdog;
    bool is_late;
};

/* `parameters` is text for main.cf. */
void world_open(struct world *world, const char *parameters);
void world_close(struct world *world);

void world_record(struct world *world, const char *type, const char *name, const char *value);
/* Server `index` (127.0.0.1 + index) plays this in its next connection. */
void world_transcript(struct world *world, int index, const char *transcript);

struct world_job {
    uint64_t job;
    const char *nexthop; /* "PORT" in it stands for the servers' port */
    const char *sender;
    const char *recipients[8];
    struct str content;
    uint32_t flags;
    const char *transport; /* NULL: "smtp" */
    bool is_content_beside;
};
void world_send(struct world *world, const struct world_job *job);
/* Runs the loop until that many more jobs are done. */
void world_run(struct world *world, size_t jobs);
/* Runs the loop for a moment, whatever happens. */
void world_idle(struct world *world, int64_t duration_ms);
/* Collects the log into `lines`. */
void world_read_log(struct world *world);
