/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking another role over a channel: a fiber sends a question with a number and is suspended until
 * the answer with that number, its deadline, or the end of the channel. What the messages are
 * the caller knows (dns_client.c, service/anvil.c, verify.c, cyrus.c); this keeps account of who
 * waits for what. In the loop.
 */
#pragma once

#include "base/map.h"
#include "loop/fiber.h"
#include "net/channel.h"

/* Lives on the stack of the fiber that asks, as the first member of what it wants to know. */
struct question {
    uint64_t
        id; /* of this asker; 0 before asker_begin, unless the caller goes on with an older one */
    struct fiber *fiber;
    bool is_answered;
    bool is_lost; /* nobody will answer */
};

struct asker {
    struct loop *loop;
    struct channel *channel; /* NULL while there is no peer */
    const char *peer;        /* "verify": for errors */
    struct channel_events events;
    /* Sends a question again to a new peer. NULL: with the old peer the questions are lost. */
    void (*ask_again)(struct asker *asker, struct question *question);
    struct map *questions; /* by id */
    uint64_t last_id;
};

struct asker_options {
    struct loop *loop;
    const char *peer;
    /* A message of the peer, as in struct channel_events; `owner` is the asker. */
    bool (*received)(void *owner, struct channel *channel, uint16_t number, struct str payload);
    void (*ask_again)(struct asker *asker, struct question *question); /* or NULL */
};
void asker_init(struct asker *asker, const struct asker_options *options);
/* Nobody may be waiting. */
void asker_clear(struct asker *asker);
/* A (new) channel to the peer; takes over `fd`. */
must_check bool asker_attach(struct asker *asker, int fd, struct error *error);

/* Before the question is sent: gives it a number. */
void asker_begin(struct asker *asker, struct question *question);
/* Suspends the fiber; true when there is an answer. `what` is for the dump of fibers. */
bool asker_wait(struct asker *asker, struct question *question, const char *what,
                int64_t deadline_ms);

/* When an answer comes: whose it is; NULL where it was given up meanwhile. */
struct question *asker_find(struct asker *asker, uint64_t id);
/* The caller has put the answer where the question wants it. */
void asker_answered(struct question *question);
