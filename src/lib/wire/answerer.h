/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of asker.h: the workers that ask a role, each over a channel of its own. They come
 * and go with each reload; an older channel of a worker closes by itself. In the loop.
 */
#pragma once

#include "base/list.h"
#include "net/channel.h"

struct answerer;

/* One of them: the first member of what the role keeps of it. */
struct asking {
    struct list link;
    struct answerer *answerer;
    struct channel *channel;
};

struct answerer_events {
    size_t bytes;                        /* of what the role keeps; zeroed when it comes */
    void (*came)(struct asking *asking); /* NULL: nothing to do */
    bool (*received)(struct asking *asking, uint16_t number, struct str payload);
    void (*gone)(struct asking *asking); /* frees what belongs to it; NULL: nothing */
};

struct answerer {
    struct loop *loop;
    const struct answerer_events *events;
    void *owner; /* the role's */
    struct list all;
};

void answerer_init(struct answerer *answerer, struct loop *loop,
                   const struct answerer_events *events, void *owner);
/* Takes over `fd`. */
must_check bool answerer_add(struct answerer *answerer, int fd, struct error *error);
/* Closes every channel. */
void answerer_clear(struct answerer *answerer);
