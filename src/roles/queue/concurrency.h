/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many deliveries to one destination may run at once, by Postfix's rules: a window that grows
 * with success, shrinks with connection failures, and closes (the destination is dead) when enough
 * whole cohorts have failed. A cohort is as many deliveries as the window allows. Pure arithmetic
 * on one struct that its destination embeds. See SCHEDULER_README of Postfix and postconf(5).
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* What one delivery's outcome counts for: 1 is a whole step of the window. */
struct feedback {
    double amount; /* 0 to 1 */
    enum { FEEDBACK_CONSTANT, FEEDBACK_BY_WINDOW, FEEDBACK_BY_ROOT } divisor;
};

/* "NUMBER", "NUMBER / NUMBER", "NUMBER / concurrency" or "NUMBER / sqrt_concurrency", from 0 to 1.
 * False (and `feedback` as it was) for anything else. */
must_check bool feedback_parse(struct str text, struct feedback *feedback);

double feedback_value(const struct feedback *feedback, size_t window);

struct concurrency_limits {
    size_t initial;      /* initial_destination_concurrency; at least 1 */
    size_t limit;        /* destination_concurrency_limit; 0 = none */
    double cohort_limit; /* destination_concurrency_failed_cohort_limit; 0 = never dead */
    struct feedback positive, negative;
};

struct concurrency {
    size_t window;           /* 0: dead */
    size_t busy;             /* deliveries in flight */
    double success, failure; /* feedback gathered towards the next step */
    double failed_cohorts;
    double last_feedback; /* what the last delivery counted for; 0: nothing */
};

void concurrency_init(struct concurrency *concurrency, const struct concurrency_limits *limits);
bool concurrency_has_room(const struct concurrency *concurrency);
bool concurrency_is_dead(const struct concurrency *concurrency);
/* A delivery that could talk to the destination ended (still counted in `busy`). */
void concurrency_succeed(struct concurrency *concurrency, const struct concurrency_limits *limits);
/* One that could not; the destination may be dead after this. */
void concurrency_fail(struct concurrency *concurrency, const struct concurrency_limits *limits);
/* Its time of being dead is over. */
void concurrency_revive(struct concurrency *concurrency, const struct concurrency_limits *limits);
/* The limits are others than before: the window keeps to them from now on. */
void concurrency_refit(struct concurrency *concurrency, const struct concurrency_limits *limits);
