/* SPDX-License-Identifier: Apache-2.0 */
#include "config/parameter.h"

#include "base/ensure.h"
#include "config/config.h"

#include <stdlib.h>

#define PARAMETER_NAMED(type, field, name, default_text, scope, honoured, documentation)           \
    { STR_INIT(name),       PARAMETER_##type, STR_INIT(default_text),        PARAMETER_##scope,    \
      PARAMETER_##honoured, documentation,    offsetof(struct config, field) },
#define PARAMETER(type, name, ...) PARAMETER_NAMED(type, name, #name, __VA_ARGS__)

const struct parameter parameters[] = {
#include "config/parameters.def"
};
#undef PARAMETER
const size_t parameter_count = sizeof parameters / sizeof *parameters;

#define TRANSPORT_PARAMETER(suffix)                                                                \
    {                                                                                              \
        STR_INIT("_" suffix), STR_INIT("default_" suffix)                                          \
    }
const struct transport_parameter transport_parameters[] = {
    TRANSPORT_PARAMETER("destination_concurrency_failed_cohort_limit"),
    TRANSPORT_PARAMETER("destination_concurrency_limit"),
    TRANSPORT_PARAMETER("destination_concurrency_negative_feedback"),
    TRANSPORT_PARAMETER("destination_concurrency_positive_feedback"),
    TRANSPORT_PARAMETER("destination_rate_delay"),
    TRANSPORT_PARAMETER("destination_recipient_limit"),
    TRANSPORT_PARAMETER("delivery_slot_cost"),
    TRANSPORT_PARAMETER("delivery_slot_discount"),
    TRANSPORT_PARAMETER("delivery_slot_loan"),
    TRANSPORT_PARAMETER("extra_recipient_limit"),
    TRANSPORT_PARAMETER("minimum_delivery_slots"),
    TRANSPORT_PARAMETER("recipient_refill_delay"),
    TRANSPORT_PARAMETER("recipient_refill_limit"),
    TRANSPORT_PARAMETER("recipient_limit"),
    TRANSPORT_PARAMETER("transport_rate_delay"),
    { STR_INIT("_initial_destination_concurrency"), STR_INIT("initial_destination_concurrency") },
    { STR_INIT("_time_limit"), STR_INIT("command_time_limit") },
};
const size_t transport_parameter_count = sizeof transport_parameters / sizeof *transport_parameters;

static const struct {
    const char *name, *fate;
} removed_parameters[] = {
#define REMOVED(name, fate) { #name, fate },
#include "config/removed.def"
#undef REMOVED
};

size_t parameter_field_bytes(enum parameter_type type)
{
    switch (type) {
    case PARAMETER_TEXT:
    case PARAMETER_RAW:
        return sizeof(struct str);
    case PARAMETER_BOOL:
        return sizeof(bool);
    case PARAMETER_COUNT:
        return sizeof(int);
    case PARAMETER_SIZE:
    case PARAMETER_TIME:
        return sizeof(int64_t);
    }
    unreachable();
}

const struct parameter *parameter_find(struct str name)
{
    for (size_t i = 0; i < parameter_count; i++) {
        if (str_equal(parameters[i].name, name))
            return &parameters[i];
    }
    return NULL;
}

bool parameter_is_one_word(const struct parameter *parameter)
{
    uint64_t number;

    return (parameter->type != PARAMETER_TEXT && parameter->type != PARAMETER_RAW) ||
           str_to_u64(parameter->default_text, &number);
}

char parameter_time_unit(const struct parameter *parameter)
{
    struct str text = parameter->default_text;
    char last = text.len > 0 ? text.ptr[text.len - 1] : 's';

    return memchr("mhdw", last, 4) != NULL ? last : 's';
}

const char *parameter_removed(struct str name)
{
    for (size_t i = 0; i < sizeof removed_parameters / sizeof *removed_parameters; i++) {
        if (str_equal(str_from(removed_parameters[i].name), name))
            return removed_parameters[i].fate;
    }
    return NULL;
}

const struct transport_parameter *transport_parameter_find(struct str name, struct str *transport)
{
    const struct transport_parameter *found = NULL;

    for (size_t i = 0; i < transport_parameter_count; i++) {
        const struct transport_parameter *each = &transport_parameters[i];
        bool is_longer = found == NULL || each->suffix.len > found->suffix.len;
        if (is_longer && name.len > each->suffix.len && str_ends_with(name, each->suffix))
            found = each;
    }
    if (found != NULL)
        *transport = str_take(name, name.len - found->suffix.len);
    return found;
}

/* How many bytes must be added, removed, changed or swapped with their neighbour to make one name
 * of the other; NAME_LEN_MAX where a name is longer than any of ours. */
enum { NAME_LEN_MAX = 80 };
static size_t edit_distance(struct str a, struct str b)
{
    size_t rows[3][NAME_LEN_MAX + 1];
    size_t *before = rows[0], *previous = rows[1], *current = rows[2];

    if (a.len > NAME_LEN_MAX || b.len > NAME_LEN_MAX)
        return NAME_LEN_MAX;
    for (size_t j = 0; j <= b.len; j++)
        previous[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        current[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t best = previous[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            if (previous[j] + 1 < best)
                best = previous[j] + 1;
            if (current[j - 1] + 1 < best)
                best = current[j - 1] + 1;
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            current[j] = best;
        }
        size_t *free_row = before;
        before = previous;
        previous = current;
        current = free_row;
    }
    return previous[b.len];
}

const struct parameter *parameter_nearest(struct str name)
{
    const struct parameter *nearest = NULL;
    size_t best = name.len < NAME_LEN_MAX ? name.len / 4 + 1 : 0;

    for (size_t i = 0; i < parameter_count; i++) {
        struct str other = parameters[i].name;
        size_t difference = name.len > other.len ? name.len - other.len : other.len - name.len;
        size_t distance = difference <= best ? edit_distance(name, other) : NAME_LEN_MAX;
        if (distance <= best && (nearest == NULL || distance < best)) {
            best = distance;
            nearest = &parameters[i];
        }
    }
    return nearest;
}

static int compare_names(const void *a, const void *b)
{
    const struct parameter *const *left = a, *const *right = b;

    return str_compare((*left)->name, (*right)->name);
}

void parameters_sort(const struct parameter **sorted)
{
    for (size_t i = 0; i < parameter_count; i++)
        sorted[i] = &parameters[i];
    qsort(sorted, parameter_count, sizeof *sorted, compare_names);
}
