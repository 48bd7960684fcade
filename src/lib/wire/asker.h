/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking another role over a channel: a fiber sends a question with a number and is suspended until
 * the answer with that number, its deadline, or the end of the channel. What the messages are
 * the caller knows (dns_client.c, service/anvil.c, verify.c, cyrus.c, login_cache.c, keys.c); this
 * keeps account of who waits for what. In the loop.
 *
 * A peer that is replaced (a reload) may still answer what it was asked: its channel is kept until
 * the peer closes it, while new questions go to its successor. What a peer has not answered when
 * its channel ends is put to the successor, as soon as there is one.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "loop/fiber.h"
#include "net/channel.h"

/* Lives on the stack of the fiber that asks, as the first member of what it wants to know. */
struct question {
    uint64_t
        id; /* of this asker; 0 before asker_ask, unless the caller goes on with an older one */
    uint64_t peer; /* the one that was asked; 0 = none yet. Set before asker_ask: only that one can
                      answer, because it knows what came before */
    bool is_bound; /* to that peer */
    struct fiber *fiber;
    bool is_answered;
    bool is_lost; /* nobody will answer */
};

struct asker {
    struct loop *loop;
    const char *peer; /* "verify": for errors */
    struct channel_events events;
    void (*send)(struct channel *channel, struct question *question);
    struct list peers;     /* the newest first */
    struct map *questions; /* by id */
    uint64_t last_id, last_peer;
};

struct asker_options {
    struct loop *loop;
    const char *peer;
    /* A message of the peer, as in struct channel_events; `owner` is the asker. */
    bool (*received)(void *owner, struct channel *channel, uint16_t number, struct str payload);
    /* Sends the question, with its number; maybe again, to another peer. */
    void (*send)(struct channel *channel, struct question *question);
};
void asker_init(struct asker *asker, const struct asker_options *options);
/* Nobody may be waiting. */
void asker_clear(struct asker *asker);
/* A (new) channel to the peer; takes over `fd`. */
must_check bool asker_attach(struct asker *asker, int fd, struct error *error);

/* The newest peer's channel; NULL while there is none. */
struct channel *asker_channel(const struct asker *asker);
/* The channel to that peer; NULL when it is gone. */
struct channel *asker_channel_of(const struct asker *asker, uint64_t peer);

/* Their numbers, as in struct question: the newest one's; and that of the next older one, which may
 * be gone itself. 0: there is none. */
uint64_t asker_newest(const struct asker *asker);
uint64_t asker_peer_before(const struct asker *asker, uint64_t peer);

/* Sends the question, as soon as there is a peer, and suspends the fiber; true when there is an
 * answer. `what` is for the dump of fibers. */
bool asker_ask(struct asker *asker, struct question *question, const char *what,
               int64_t deadline_ms);

/* When an answer comes: whose it is; NULL where it was given up meanwhile. */
struct question *asker_find(struct asker *asker, uint64_t id);
/* The caller has put the answer where the question wants it. */
void asker_answered(struct question *question);
