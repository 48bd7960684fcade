/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latencies in microseconds, counted in classes that are 3 % wide, so that any percentile of any
 * number of values costs 10 KB. The smallest and the largest value are exact. { 0 } is empty.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

enum { HISTOGRAM_CLASSES = 40 * 32 };

struct histogram {
    uint64_t counts[HISTOGRAM_CLASSES];
    uint64_t count;
    int64_t min_us, max_us;
};

/* Negative values count as 0. */
void histogram_add(struct histogram *histogram, int64_t value_us);
/* The value that `percent` of the values do not pass; 0 when there are none. */
int64_t histogram_percentile(const struct histogram *histogram, double percent);
/* A JSON object: count, min, p50, p90, p99, p999, max. */
void histogram_print(const struct histogram *histogram, FILE *out);
