/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many deliveries to one destination may run at once, by Postfix's rules: a window that grows
 * with success, shrinks with connection failures, and closes (the destination is dead) when enough
 * whole cohorts have failed. Pure arithmetic on one struct that its destination embeds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct concurrency_limits {
    size_t initial;      /* initial_destination_concurrency */
    size_t limit;        /* destination_concurrency_limit; 0 = none */
    double cohort_limit; /* destination_concurrency_failed_cohort_limit; 0 = never dead */
};

struct concurrency {
    size_t window;           /* 0: dead */
    size_t busy;             /* deliveries in flight */
    double success, failure; /* feedback gathered towards the next step */
    double failed_cohorts;
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
