/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's conversation with bench-sink: it answers what it is told to, and counts what it takes.
 */
#pragma once

#include "base/buf.h"
#include "connection.h"
#include "copy_set.h"
#include "histogram.h"
#include "mark.h"

enum { SINK_INPUT_BYTES = 262144 };

/* Where a reply may be delayed or be a refusal. */
enum stage { STAGE_BANNER, STAGE_MAIL, STAGE_RCPT, STAGE_END, STAGE_COUNT };

/* Of the replies at a stage, each `every`th is `text` (code, text, CR LF) in place of 250. */
struct refusal {
    unsigned every; /* 0 = none */
    struct buf text;
    uint64_t seen;
};

struct sink {
    int epoll_fd;
    SSL_CTX *tls; /* NULL: no STARTTLS */
    bool has_pipelining;
    struct refusal refusals[STAGE_COUNT];
    int64_t delays_us[STAGE_COUNT]; /* at most one is not 0 */
    struct waiting {
        struct session *first, *last; /* who waits for its delayed reply, in the order of time */
    } delayed;
    struct copy_set copies;
    struct histogram latency;
    uint64_t connections, open_connections, most_connections, tls_connections;
    uint64_t messages, bytes, duplicates, foreign, damaged, refused;
    int64_t first_us, last_us; /* ends of the first and the last message */
    char input[SINK_INPUT_BYTES];
};

enum sink_phase { SINK_COMMAND, SINK_CONTENT, SINK_HANDSHAKE, SINK_QUIT };

struct session {
    struct connection connection;
    struct sink *sink;
    enum sink_phase phase;
    struct buf carry;  /* input that is not whole: of a command, or the content's last bytes */
    struct buf output; /* replies; from `sent` on they are still to go out */
    bool has_mail;
    uint32_t *recipients; /* ordinals of those that were accepted */
    size_t recipient_count, recipient_capacity;
    bool has_foreign_recipient;
    bool is_marked;
    struct mark mark;
    uint64_t content_bytes; /* seen so far */
    int64_t resume_us;      /* while its reply is delayed */
    struct session *next;   /* in sink->delayed */
};

/* Takes the descriptor of a new connection and greets. */
void session_new(struct sink *sink, int fd);
/* What epoll told of it; it may be gone after this. */
void session_ready(struct session *session);
/* The time of its delayed reply has come. */
void session_resume(struct session *session);
