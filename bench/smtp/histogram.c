/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

#include <inttypes.h>
#include <stddef.h>

/* Up to 64 each value is a class of its own; beyond it each power of two has 32 classes. */
enum { EXACT = 64, PER_POWER = 32, PER_POWER_BITS = 5 };

static size_t class_of(uint64_t value)
{
    if (value < EXACT)
        return value;
    unsigned power = 63 - (unsigned)__builtin_clzll(value) - PER_POWER_BITS;
    size_t class = power * PER_POWER + (value >> power);
    return class < HISTOGRAM_CLASSES ? class : HISTOGRAM_CLASSES - 1;
}

/* The largest value of a class. */
static int64_t class_end(size_t class)
{
    if (class < EXACT)
        return (int64_t) class;
    unsigned power = (unsigned)(class / PER_POWER) - 1;
    return (int64_t)((((uint64_t)(class % PER_POWER) + PER_POWER + 1) << power) - 1);
}

void histogram_add(struct histogram *histogram, int64_t value_us)
{
    if (value_us < 0)
        value_us = 0;
    if (histogram->count == 0 || value_us < histogram->min_us)
        histogram->min_us = value_us;
    if (value_us > histogram->max_us)
        histogram->max_us = value_us;
    histogram->counts[class_of((uint64_t)value_us)]++;
    histogram->count++;
}

int64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    double wanted = (double)histogram->count * percent / 100;
    uint64_t seen = 0;

    for (size_t at = 0; at < HISTOGRAM_CLASSES; at++) {
        seen += histogram->counts[at];
        if (seen > 0 && (double)seen >= wanted)
            return class_end(at) < histogram->max_us ? class_end(at) : histogram->max_us;
    }
    return histogram->max_us;
}

void histogram_print(const struct histogram *histogram, FILE *out)
{
    static const struct {
        const char *name;
        double percent;
    } rows[] = { { "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "p999", 99.9 } };

    fprintf(out, "{\"count\": %" PRIu64 ", \"min\": %" PRId64, histogram->count, histogram->min_us);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        fprintf(out, ", \"%s\": %" PRId64, rows[i].name,
                histogram_percentile(histogram, rows[i].percent));
    fprintf(out, ", \"max\": %" PRId64 "}", histogram->max_us);
}
