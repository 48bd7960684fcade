/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a message is tried again, and when no more. Pure functions on wall-clock milliseconds,
 * beside the one piece of state that tells a step of the clock from time that passed.
 */
#pragma once

#include <stdbool.h>
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

/* The clock's steps since the start, from comparing it with the monotonic one. */
struct wall_clock {
    int64_t offset_ms;  /* wall minus monotonic, when there was last no step */
    int64_t ahead_ms;   /* how far the wall has stepped forward since: no time that passed */
    int64_t stepped_ms; /* wall clock just before that step */
};
enum { RETRY_STEP_MS = 3600 * 1000 }; /* less than this is no step */

enum clock_step { CLOCK_STEADY, CLOCK_STEPPED_FORWARD, CLOCK_STEPPED_BACK };
void wall_clock_init(struct wall_clock *clock, int64_t wall_ms, int64_t monotonic_ms);
/* Call it now and then, and before ages are judged. Tells a new step once. */
enum clock_step wall_clock_check(struct wall_clock *clock, int64_t wall_ms, int64_t monotonic_ms);
/* How long a message has been here, without the steps of the clock. */
int64_t retry_age_ms(const struct wall_clock *clock, int64_t arrival_ms, int64_t now_ms);
