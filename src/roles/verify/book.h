/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verify role's knowledge: the cache of addresses, and the probes under way. One loop, one
 * thread. Questions come from smtpd's workers, results from the queue (wire/verify.def).
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "entry.h"
#include "loop/loop.h"
#include "service/kept_cache.h"
#include "wire/answerer.h"

struct book {
    struct loop *loop;
    struct log_context log;
    const struct config *config;
    struct entry_ages ages;
    struct kept_cache cache;
    struct channel *queue;   /* NULL while there is none */
    struct answerer clients; /* workers of smtpd */
    struct map *probes;      /* struct probe by address */
    struct map *probes_by_id;
    uint64_t last_id;
};

void book_init(struct book *book);
/* The cache is closed. */
void book_clear(struct book *book);
/* (Re)reads the times; the config is borrowed. */
void book_configure(struct book *book, const struct config *config);
/* The queue, or its successor; takes over `fd`. */
must_check bool book_attach_queue(struct book *book, int fd, struct error *error);
/* Removes what has expired, and says so in the log. */
void book_sweep(struct book *book);
