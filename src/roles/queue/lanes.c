/* SPDX-License-Identifier: Apache-2.0 */
#include "lanes.h"

#include "base/ensure.h"

size_t lane_for(size_t deliveries, size_t overtaken_from)
{
    size_t lane = 0;

    if (overtaken_from == 0)
        return 0;
    while (lane < LANE_COUNT - 1 && deliveries >= overtaken_from) {
        deliveries /= LANE_GROWTH;
        lane++;
    }
    return lane;
}

void lanes_init(struct lanes *lanes)
{
    for (size_t i = 0; i < LANE_COUNT; i++)
        list_init(&lanes->lane[i]);
    lanes->turn = 0;
}

size_t lanes_first(const struct lanes *lanes)
{
    size_t lane = 0;

    while (lane < LANE_COUNT && list_is_empty(&lanes->lane[lane]))
        lane++;
    return lane;
}

bool lanes_are_empty(const struct lanes *lanes)
{
    return lanes_first(lanes) == LANE_COUNT;
}

void lanes_append(struct lanes *lanes, size_t lane, struct list *link)
{
    list_append(&lanes->lane[lane], link);
}

void lanes_prepend(struct lanes *lanes, size_t lane, struct list *link)
{
    list_prepend(&lanes->lane[lane], link);
}

struct list *lanes_peek(const struct lanes *lanes)
{
    size_t lane = lanes_first(lanes);

    ensure(lane < LANE_COUNT);
    return lanes->lane[lane].next;
}

/* The turns' numbers have no trailing zero bit half of the time, one a quarter of it, and so on:
 * that many lanes in use are passed over. */
struct list *lanes_next(struct lanes *lanes)
{
    struct list *chosen = NULL;
    uint32_t turn = ++lanes->turn;

    for (size_t lane = 0; lane < LANE_COUNT; lane++) {
        if (list_is_empty(&lanes->lane[lane]))
            continue;
        chosen = lanes->lane[lane].next;
        if (turn & 1)
            break;
        turn >>= 1;
    }
    ensure(chosen != NULL);
    return chosen;
}
