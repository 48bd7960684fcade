/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One job of the queue: some recipients of one message, one destination, one attempt. It has a
 * fiber of its own, tries the destination's servers in order until every recipient is settled, and
 * tells the queue and the log what became of each (report.h). Recipients that some server
 * refused for now stay open for the next server.
 */
#pragma once

#include "failure.h"
#include "mail/delivery.h"
#include "service/jobs.h"
#include "transport.h"

struct worker;
struct session;

enum recipient_progress {
    PROGRESS_OPEN,     /* to be offered to a server */
    PROGRESS_ACCEPTED, /* by this server at RCPT; counts only with the reply to the content */
    PROGRESS_SETTLED,  /* reported */
};

struct attempt {
    enum recipient_progress progress;
    const struct failure *failure; /* the latest soft one; NULL: none yet */
    struct str sent_address;       /* what servers are told: smtp_generic_maps */
};

struct delivery {
    struct job job; /* the first member */
    struct worker *worker;
    const struct transport *transport; /* NULL: there is none of that name */
    struct str tried_nexthop; /* the one of its destinations that is being tried, as written */
    struct attempt *attempts; /* one for each recipient of the envelope */
    size_t open_count;        /* not settled */
    struct str sent_sender;   /* what servers are told */
    struct str sent_headers, sent_content; /* what they get, one behind the other */
    const struct failure *failure;         /* of the destination as such: the latest */
    enum site_outcome site;
    bool is_content_under_way; /* past the point where giving up loses nothing */
    bool is_cancelled;
};

/* The job is decoded and copied; NULL where its envelope does not hold together. */
struct delivery *delivery_new(struct worker *worker, const struct wire_deliver_job *job);
void delivery_start(struct delivery *delivery);
/* Gives up where that loses nothing, otherwise lets it finish. */
void delivery_cancel(struct delivery *delivery);
void delivery_free(struct delivery **delivery);
