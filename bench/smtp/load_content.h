/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bench-load's messages look like: a head that is the session's own, filling that all share,
 * and a last line. Only marks are written for each message.
 */
#pragma once

#include "base/error.h"
#include "mark.h"

enum { CONTENT_HEAD_MAX = 512, CONTENT_MAX_BYTES = 32 << 20 };

/* A size, and how many of all messages have it. */
struct size_share {
    size_t bytes;
    unsigned weight;
};

struct content {
    struct size_share sizes[32];
    size_t size_count;
    unsigned total_weight;
    char *filling; /* lines, as long as the largest size */
    size_t filling_len;
    char head[CONTENT_HEAD_MAX]; /* with room for a mark at the offsets */
    size_t head_len, message_id_at, mark_at;
};

/* Head and last line of one message. */
struct content_frame {
    char head[CONTENT_HEAD_MAX];
    char end[MARK_END_LEN + 3]; /* with the dot */
};

/* `sizes`: a number of bytes, "realistic", or BYTESxWEIGHT,BYTESxWEIGHT,… */
must_check bool content_init(struct content *content, struct str sizes, struct error *error);
void content_clear(struct content *content);

void content_frame_init(const struct content *content, struct content_frame *frame);
/* The parts of a message, in order, to be sent; they live as long as frame and content do. Its
 * size depends on its number alone, so that all runs send the same. */
void content_compose(const struct content *content, const struct mark *mark,
                     struct content_frame *frame, struct str parts[3]);
