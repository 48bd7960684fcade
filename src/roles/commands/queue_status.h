/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the queue says of how things are (tool_status in wire/tools.def), gathered for `waypost top`
 * and `waypost why`, and who set the limits that are in force.
 */
#pragma once

#include "queue_client.h"
#include "wire/tool_status.h"

enum { STATUS_REPLIES_MAX = 8, STATUS_LIMITS_MAX = 16 };

struct status_destination {
    struct wire_tool_destination row;
    struct wire_tool_reply replies[STATUS_REPLIES_MAX];
    size_t reply_count;
    struct wire_tool_limit limits[STATUS_LIMITS_MAX];
    size_t limit_count;
};

struct queue_status {
    struct arena arena; /* of all texts */
    struct wire_tool_totals totals;
    struct status_destination *destinations;
    size_t count, capacity;
    struct wire_tool_limit limits[STATUS_LIMITS_MAX]; /* that hold for all */
    size_t limit_count;
    bool has_message;
    struct wire_tool_message message;
};

/* Replaces what was there. False: the text is in `error`, the exit status in `status`. */
must_check bool queue_status_ask(struct queue_client *client,
                                 const struct wire_tool_status *request,
                                 struct queue_status *answer, int *status, struct error *error);
void queue_status_clear(struct queue_status *status);

/* "dead", "concurrency limit", …: what keeps the next delivery from beginning; empty: nothing. */
const char *queue_status_block(uint8_t block);

/* Who set a limit, by the configuration as it is now. */
struct limit_origin {
    struct str name; /* of the parameter that counts */
    const char *place; /* "main.cf, line 12", "default"; in the arena */
    bool is_stale;     /* the configuration says something else by now: no reload since */
};
struct limit_origin queue_status_origin(const struct tool *tool, struct arena *arena,
                                        struct str transport, const struct wire_tool_limit *limit);
