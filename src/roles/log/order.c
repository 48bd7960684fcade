/* SPDX-License-Identifier: Apache-2.0 */
#include "order.h"

#include "base/arena.h"
#include "base/memory.h"

#include <stdlib.h>

struct held {
    struct log_record record; /* texts in the arena of its generation */
    uint64_t sequence;        /* lines of the same microsecond keep the order of arrival */
};

struct order {
    struct held *lines;
    size_t count, capacity;
    size_t settled_count; /* so many were here at the last tick */
    uint64_t next_sequence;
    struct arena settled, fresh; /* the texts of either part */
};

struct order *order_new(void)
{
    return memory_new(sizeof(struct order));
}

void order_free(struct order **order)
{
    if (*order == NULL)
        return;
    arena_clear(&(*order)->settled);
    arena_clear(&(*order)->fresh);
    memory_free((*order)->lines);
    memory_free(*order);
    *order = NULL;
}

void order_add(struct order *order, const struct log_record *record)
{
    if (order->count == order->capacity) {
        order->capacity = order->capacity > 0 ? order->capacity * 2 : 64;
        order->lines = memory_resize(order->lines, order->capacity * sizeof *order->lines);
    }
    struct held *held = &order->lines[order->count++];
    held->record = *record;
    held->record.tag = arena_copy(&order->fresh, record->tag);
    held->record.text = arena_copy(&order->fresh, record->text);
    held->sequence = order->next_sequence++;
}

bool order_is_empty(const struct order *order)
{
    return order->count == 0;
}

static int compare(const void *a, const void *b)
{
    const struct held *first = a, *second = b;

    if (first->record.wall_us != second->record.wall_us)
        return first->record.wall_us < second->record.wall_us ? -1 : 1;
    return first->sequence < second->sequence ? -1 : 1;
}

static int64_t newest_settled_us(const struct order *order)
{
    int64_t newest_us = INT64_MIN;

    for (size_t i = 0; i < order->settled_count; i++)
        if (order->lines[i].record.wall_us > newest_us)
            newest_us = order->lines[i].record.wall_us;
    return newest_us;
}

/* What stays was fresh, and is settled from now on; its texts move, so that memory is given back.
 */
static void settle_rest(struct order *order, size_t written)
{
    struct arena kept = { 0 };

    order->count -= written;
    memmove(order->lines, order->lines + written, order->count * sizeof *order->lines);
    for (size_t i = 0; i < order->count; i++) {
        struct log_record *record = &order->lines[i].record;
        record->tag = arena_copy(&kept, record->tag);
        record->text = arena_copy(&kept, record->text);
    }
    arena_clear(&order->settled);
    arena_clear(&order->fresh);
    order->settled = kept;
    order->settled_count = order->count;
}

static void write_until(struct order *order, int64_t newest_us,
                        void (*write)(void *argument, const struct log_record *record),
                        void *argument)
{
    size_t written = 0;

    qsort(order->lines, order->count, sizeof *order->lines, compare);
    while (written < order->count && order->lines[written].record.wall_us <= newest_us)
        write(argument, &order->lines[written++].record);
    settle_rest(order, written);
}

void order_tick(struct order *order, void (*write)(void *argument, const struct log_record *record),
                void *argument)
{
    if (order->count > 0)
        write_until(order, newest_settled_us(order), write, argument);
}

void order_finish(struct order *order,
                  void (*write)(void *argument, const struct log_record *record), void *argument)
{
    if (order->count > 0)
        write_until(order, INT64_MAX, write, argument);
}
