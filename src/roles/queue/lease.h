/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue ids, handed out in blocks. An id is given away only below a mark that is committed in the
 * store, and after a start ids go on from that mark: none repeats, whatever the clock does or
 * where a crash strikes.
 */
#pragma once

#include "committer.h"

struct queue;

struct lease {
    uint64_t start;   /* the mark at our start: ids below may be from leases before it */
    uint64_t next;    /* the lowest id that nobody has */
    uint64_t durable; /* the mark on disk */
    struct commit_request request;
    bool is_committing;
};

/* Before the committer starts; begins with the mark that is in the store. */
void lease_init(struct queue *queue);
/* Asks for the first mark, so that ids are there when they are needed. */
void lease_prepare(struct queue *queue);
/* An id that the queue may have given away before it was started again: whoever took it then may
 * still use it. The store refuses one that is taken. */
bool lease_may_be_older(const struct lease *lease, uint64_t queue_id);
/* False: a new mark must be committed first; intake_lease_ready is called then. */
must_check bool lease_take(struct queue *queue, uint32_t count, uint64_t *first);
