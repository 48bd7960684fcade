/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which messages of a listing somebody means: by sender, recipient, destination, queue, reason,
 * age and size. One is made from texts as a user types them; then it is asked of one message after
 * the other. Pure.
 *
 * A pattern is a whole address or domain, in any case, with '*' for any run of characters and '?'
 * for one. What is said of recipients must hold for one and the same that waits.
 */
#pragma once

#include "base/error.h"
#include "mail/queue_format.h"

struct queue_filter;

/* Texts as typed; empty ones say nothing. */
struct queue_filter_texts {
    struct str destination; /* pattern for a recipient's domain */
    struct str sender;      /* pattern; "<>" for the null sender; "@domain" for all there */
    struct str recipient;   /* the same */
    struct str status;      /* names of queues, separated by commas or blanks */
    struct str reason;      /* Perl-compatible regular expression, in any case */
    struct str older;       /* "90", "15m", "1h", "2d", "1w" */
    struct str larger;      /* "5000", "10K", "3M", "1G" */
};
/* NULL with `error` where a text means nothing. */
struct queue_filter *queue_filter_new(const struct queue_filter_texts *texts, struct error *error);
void queue_filter_free(struct queue_filter **filter);

bool queue_filter_matches(const struct queue_filter *filter, const struct queue_entry *entry,
                          int64_t now_ms);
/* enum queue_name bits of the status; 0: any. */
unsigned queue_filter_queues(const struct queue_filter *filter);

/* The parts, for tests. */
bool queue_pattern_matches(struct str pattern, struct str text);
must_check bool queue_size_parse(struct str text, uint64_t *bytes, struct error *error);
