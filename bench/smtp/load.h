/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-load: what its sessions share. The load deals out messages; a session (load_client.h)
 * sends them and tells what became of each.
 */
#pragma once

#include "base/clock.h"
#include "connection.h"
#include "histogram.h"
#include "load_content.h"

#include <netinet/in.h>

struct load_options {
    uint32_t sessions, messages;
    uint32_t recipients, domains;     /* for each message; over all */
    uint32_t per_connection;          /* messages; 0 = as many as there are */
    uint32_t idle;                    /* further connections that only stay */
    double rate;                      /* messages in a second; 0 = whenever a session is free */
    double seconds, patience_seconds; /* no more are begun after; and then waited so long */
    bool may_pipeline, is_tls, must_stay;
    const char *ids_file;
    struct sockaddr_in server;
};

/* What became of a message. */
enum outcome {
    OUTCOME_ACCEPTED,
    OUTCOME_REFUSED,    /* by a reply */
    OUTCOME_UNANSWERED, /* the connection ended when the whole message was sent */
};

struct client;

struct client_list {
    struct client *first, *last;
};

struct load {
    struct load_options options;
    int epoll_fd;
    SSL_CTX *tls;
    struct content content;
    uint16_t run;
    int64_t start_us, end_us;   /* of the first message, of the last */
    bool is_over;               /* no further message is begun */
    bool is_stopped;            /* by a signal */
    uint32_t begun;             /* numbers that were dealt out */
    struct client_list free;    /* sessions without a message; the one used last is first */
    struct client_list pausing; /* their connection failed: they try again, in that order */
    uint32_t busy;              /* sessions with a message, also pausing ones */
    uint32_t idle_connecting, idle_open, idle_lost;
    uint64_t accepted, refused, unanswered; /* messages */
    uint64_t recipients_accepted, recipients_refused, bytes;
    uint64_t connections, connect_failures, lost_connections;
    struct histogram latency, connect_latency;
    FILE *ids;
    char input[65536];
};

/* A session's message came to its end. The session asks for the next with load_free. */
void load_message_ended(struct load *load, struct client *client, enum outcome outcome);
/* The session has no message, and its connection is closed or awaits MAIL. */
void load_free(struct load *load, struct client *client);
/* It has a message but no connection: client_resume comes after a pause. So a message is sent again
 * when its connection ended before it was sent whole: nobody can have accepted it. */
void load_pause(struct load *load, struct client *client);
/* Whether a session that has sent so many messages over its connection may send another. */
bool load_may_go_on(const struct load *load, uint32_t sent);
