/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker of smtpd without the role around it: its server, a policy, a queue that is played, and
 * the log in memory. One loop runs it all; a test is a fiber in it.
 */
#pragma once

#include "src/roles/smtpd/conversation.h"

/* How the played queue answers. */
enum queue_manner {
    QUEUE_ACCEPTS,
    QUEUE_REFUSES, /* 452 4.3.1 Insufficient system storage */
    QUEUE_DIES,    /* closes its channel when a message comes, and another one takes its place */
    QUEUE_IS_SHUT, /* the gate: 452 at MAIL */
};

/* The last message that the queue got. */
struct taken_message {
    struct arena arena;
    struct envelope envelope;
    struct buf content;
    size_t chunk_count;
};

struct world {
    struct loop *loop;
    struct log *log;
    int log_fd; /* our end */
    struct buf log_text; /* "tag: severity text\n" for each line */
    struct config_source source;
    struct policy *policy;
    struct server server;

    struct channel *queue;
    enum queue_manner manner;
    uint64_t next_queue_id;
    size_t message_count; /* accepted by the queue */
    size_t aborted_count;
    struct taken_message message;

    struct stream *client; /* our end of the connection */
    struct str early; /* sent before the conversation begins */
    void (*play)(struct world *world, void *argument);
    void *play_argument;
};

/* `main_cf` is added behind a small base configuration, see world.c. Fails the process where it
 * does not work, with the reason on standard error. */
void world_open(struct world *world, const char *main_cf);
/* NULL where the configuration was refused; then `error` says why. */
struct policy *world_policy(struct world *world, const char *main_cf, struct error *error);
void world_close(struct world *world);

void world_set_queue(struct world *world, enum queue_manner manner);
/* Connects a client, runs `play` as a fiber until it returns and the conversation has ended. */
void world_run(struct world *world, const char *client_address,
               void (*play)(struct world *world, void *argument), void *argument);
/* All lines logged so far. */
struct str world_log(struct world *world);
