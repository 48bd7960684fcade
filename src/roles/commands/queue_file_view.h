/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queued message as postcat(1) shows Postfix's queue files: one line for each record, with the
 * type and the place that the record would have in such a file. Content comes in portions, cut
 * anywhere.
 */
#pragma once

#include "base/buf.h"
#include "mail/envelope.h"
#include "mail/queue_format.h"

enum view_part { VIEW_ENVELOPE = 1, VIEW_HEADERS = 2, VIEW_BODY = 4, VIEW_ALL = 7 };

struct queue_file_view {
    unsigned parts; /* enum view_part bits */
    bool has_types, has_offsets, is_verbose;
    bool is_terminal; /* control characters of the content are not shown */

    /* private, { 0 } at the start of each message */
    struct str id;
    struct str queue;
    bool is_dry; /* only counts */
    bool is_in_body;
    uint64_t offset;
    struct buf line; /* content up to the next line end */
};

/* The envelope's records, and the title of the content. `id` lives as long as the view. */
void queue_file_view_begin(struct queue_file_view *view, struct str id, enum queue_name queue,
                           const struct envelope *envelope, int64_t created_s);
void queue_file_view_content(struct queue_file_view *view, struct str content);
/* The last records; the view is free for the next message. */
void queue_file_view_end(struct queue_file_view *view);
