/* SPDX-License-Identifier: Apache-2.0 */
#include "concurrency.h"

static size_t capped(size_t window, const struct concurrency_limits *limits)
{
    if (limits->limit > 0 && window > limits->limit)
        window = limits->limit;
    return window > 0 ? window : 1;
}

void concurrency_init(struct concurrency *concurrency, const struct concurrency_limits *limits)
{
    *concurrency = (struct concurrency){ .window = capped(limits->initial, limits) };
}

bool concurrency_has_room(const struct concurrency *concurrency)
{
    return concurrency->busy < concurrency->window;
}

bool concurrency_is_dead(const struct concurrency *concurrency)
{
    return concurrency->window == 0;
}

void concurrency_revive(struct concurrency *concurrency, const struct concurrency_limits *limits)
{
    size_t busy = concurrency->busy;

    *concurrency = (struct concurrency){
        .window = capped(busy > 0 ? busy : limits->initial, limits),
        .busy = busy,
    };
}

void concurrency_succeed(struct concurrency *concurrency, const struct concurrency_limits *limits)
{
    concurrency->failed_cohorts = 0;
    if (concurrency_is_dead(concurrency)) {
        concurrency_revive(concurrency, limits);
        return;
    }
    /* A window that is not used says nothing about a wider one. */
    if (concurrency->window >= concurrency->busy + limits->initial)
        return;
    concurrency->success += 1.0;
    if (concurrency->success < 1.0)
        return;
    concurrency->success -= 1.0;
    concurrency->failure = 0;
    concurrency->window = capped(concurrency->window + 1, limits);
}

void concurrency_fail(struct concurrency *concurrency, const struct concurrency_limits *limits)
{
    if (concurrency_is_dead(concurrency))
        return;
    if (limits->cohort_limit > 0) {
        concurrency->failed_cohorts += 1.0 / (double)concurrency->window;
        if (concurrency->failed_cohorts >= limits->cohort_limit) {
            concurrency->window = 0;
            return;
        }
    }
    concurrency->failure -= 1.0;
    concurrency->success = 0;
    if (concurrency->failure < 0) {
        concurrency->failure += 1.0;
        if (concurrency->window > 1)
            concurrency->window--;
    }
}
