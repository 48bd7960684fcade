/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a message is tried again, and when no more. Pure functions on wall-clock milliseconds,
 * beside the one piece of state that tells a step of the clock from time that passed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct retry_limits {
    int64_t minimal_backoff_ms;
    int64_t maximal_backoff_ms;
    int64_t lifetime_ms;        /* maximal_queue_lifetime */
    int64_t bounce_lifetime_ms; /* bounce_queue_lifetime, for mail from the null sender */
    int64_t jitter_percent;     /* queue_retry_jitter: by how much more a wait may be, by chance */
};

/* A message's time in the schedule that never comes: it is held. */
#define RETRY_NEVER_MS INT64_MAX

/* The next attempt after one that failed at `now_ms`: after the message's age, within the limits,
 * so that the waits double roughly; and a little later, so that the messages of an outage do not
 * all come back in the same second. `chance` is any number that differs by message: retry_chance's,
 * in the program. */
int64_t retry_next_ms(const struct retry_limits *limits, int64_t arrival_ms, int64_t now_ms,
                      uint64_t chance);
uint64_t retry_chance(uint64_t queue_id, int64_t now_ms);
/* Whether a failed attempt was the last one. `age_ms` is retry_age_ms's. */
bool retry_is_expired(const struct retry_limits *limits, bool is_null_sender, int64_t age_ms);
/* How far ahead of now the schedule can reach. */
int64_t retry_farthest_ms(const struct retry_limits *limits);
/* Whether the schedule's time has come. A time further ahead than any back-off was made by a
 * clock that has stepped back since, and counts as come. */
bool retry_is_due(const struct retry_limits *limits, int64_t due_ms, int64_t now_ms);

/* Between two steps of the wall clock. A step falls between two checks: before it is seen, mail may
 * come with the old time or the new. */
struct clock_epoch {
    int64_t offset_ms; /* wall minus monotonic */
    int64_t begin_ms;  /* monotonic: the last check that the step had not come yet */
    int64_t seen_ms;   /* monotonic: the check that saw it */
};
enum { CLOCK_EPOCHS_MAX = 16 };

/* The clock's steps since the start, from comparing it with the monotonic one. */
struct wall_clock {
    struct clock_epoch epochs[CLOCK_EPOCHS_MAX]; /* the first reaches back beyond the start */
    size_t count;
    int64_t started_ms, checked_ms; /* monotonic */
    bool has_forgotten;             /* there were more steps than have room */
    int64_t forgotten_ms;           /* monotonic: when the first of those began */
};
enum { RETRY_STEP_MS = 3600 * 1000 }; /* less than this is no step */

enum clock_step { CLOCK_STEADY, CLOCK_STEPPED_FORWARD, CLOCK_STEPPED_BACK };
void wall_clock_init(struct wall_clock *clock, int64_t wall_ms, int64_t monotonic_ms);
/* Call it now and then, and before ages are judged. Tells a new step once. */
enum clock_step wall_clock_check(struct wall_clock *clock, int64_t wall_ms, int64_t monotonic_ms);
/* How long a message has been here, without the steps of the clock: by each epoch that its time of
 * arrival fits into, and of those the shortest. Rather too short than mail that is given up. */
int64_t retry_age_ms(const struct wall_clock *clock, int64_t arrival_ms, int64_t now_ms);
