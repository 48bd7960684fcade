/* SPDX-License-Identifier: Apache-2.0 */
#include "concurrency.h"

#include <math.h>
#include <stdlib.h>

enum { NUMBER_BYTES_MAX = 40 };

/* A decimal number, whole or not, and nothing else. */
static bool parse_number(struct str text, double *number)
{
    char copy[NUMBER_BYTES_MAX + 1];
    char *end;

    if (text.len == 0 || text.len > NUMBER_BYTES_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_digit(text.ptr[i]) && text.ptr[i] != '.')
            return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *number = strtod(copy, &end);
    return *end == '\0' && end != copy;
}

bool feedback_parse(struct str text, struct feedback *feedback)
{
    struct str divisor = text;
    struct str amount = str_trim(str_cut(&divisor, "/"));
    bool has_divisor = memchr(text.ptr, '/', text.len) != NULL;
    struct feedback made = { .divisor = FEEDBACK_CONSTANT };
    double number = 1;

    divisor = str_trim(divisor);
    if (!parse_number(amount, &made.amount))
        return false;
    if (has_divisor && str_equal_fold(divisor, STR("concurrency")))
        made.divisor = FEEDBACK_BY_WINDOW;
    else if (has_divisor && str_equal_fold(divisor, STR("sqrt_concurrency")))
        made.divisor = FEEDBACK_BY_ROOT;
    else if (has_divisor && (!parse_number(divisor, &number) || number == 0))
        return false;
    made.amount /= number;
    if (made.amount > 1)
        return false;
    *feedback = made;
    return true;
}

double feedback_value(const struct feedback *feedback, size_t window)
{
    switch (feedback->divisor) {
    case FEEDBACK_CONSTANT:
        return feedback->amount;
    case FEEDBACK_BY_WINDOW:
        return feedback->amount / (double)window;
    case FEEDBACK_BY_ROOT:
        return feedback->amount / sqrt((double)window);
    }
    return feedback->amount;
}

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

void concurrency_refit(struct concurrency *concurrency, const struct concurrency_limits *limits)
{
    if (!concurrency_is_dead(concurrency))
        concurrency->window = capped(concurrency->window, limits);
}

void concurrency_succeed(struct concurrency *concurrency, const struct concurrency_limits *limits)
{
    concurrency->failed_cohorts = 0;
    concurrency->last_feedback = 0;
    if (concurrency_is_dead(concurrency)) {
        concurrency_revive(concurrency, limits);
        return;
    }
    if (limits->limit > 0 && concurrency->window >= limits->limit)
        return;
    /* A window that is not used says nothing about a wider one. */
    if (concurrency->window >= concurrency->busy + capped(limits->initial, limits))
        return;
    double value = feedback_value(&limits->positive, concurrency->window);
    concurrency->last_feedback = value;
    concurrency->success += value;
    /* The window grows when the last part of a step is there; half a part forgives rounding. */
    if (concurrency->success + value / 2 < 1)
        return;
    concurrency->success -= 1;
    concurrency->failure = 0;
    concurrency->window = capped(concurrency->window + 1, limits);
}

void concurrency_fail(struct concurrency *concurrency, const struct concurrency_limits *limits)
{
    if (concurrency_is_dead(concurrency))
        return;
    concurrency->last_feedback = 0;
    concurrency->failed_cohorts += 1.0 / (double)concurrency->window;
    if (limits->cohort_limit > 0 && concurrency->failed_cohorts >= limits->cohort_limit) {
        concurrency->window = 0;
        return;
    }
    /* It shrinks at the first part of a step, and then not before the whole step is used up. A
     * whole step at once is therefore two the first time, as in Postfix. */
    double value = feedback_value(&limits->negative, concurrency->window);
    concurrency->last_feedback = value;
    concurrency->failure -= value;
    while (concurrency->failure - value / 2 < 0) {
        concurrency->failure += 1;
        concurrency->success = 0;
        if (concurrency->window > 1)
            concurrency->window--;
    }
}
