/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answering end of wire/resolve.def: the workers that ask, and their questions. A peer may
 * have any number of questions open; what would flood libunbound waits here in order, and what
 * would flood this process is answered "try again".
 */
#pragma once

#include "answer_cache.h"
#include "base/list.h"
#include "base/log.h"
#include "engine.h"
#include "net/channel.h"
#include "nxdomain_guard.h"

enum {
    QUESTIONS_ASKED_MAX = 400,  /* in libunbound at a time */
    QUESTIONS_OPEN_MAX = 20000, /* asked and waiting */
};

struct peers {
    struct loop *loop;
    struct engine *engine;
    const struct log_context *log;
    struct list members;                    /* struct peer, by_peers */
    struct list waiting;                    /* struct question, in order of arrival */
    size_t asked_count;                     /* in libunbound */
    size_t open_count;                      /* those and the waiting ones */
    uint64_t question_count, failure_count; /* since the start, for the status */
    struct answer_cache cache;
    struct nxdomain_guard guard;
};

void peers_init(struct peers *peers, struct loop *loop, struct engine *engine,
                const struct log_context *log);
/* Takes over `fd`. `is_deliverer`: what is answered decides where mail goes, or that it bounces. */
must_check bool peers_add(struct peers *peers, bool is_deliverer, int fd, struct error *error);
/* Closes every channel and cancels every question. */
void peers_clear(struct peers *peers);
