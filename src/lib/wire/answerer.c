/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/answerer.h"

#include "base/memory.h"

static void asking_free(struct asking *asking)
{
    const struct answerer_events *events = asking->answerer->events;

    if (events->gone != NULL)
        events->gone(asking);
    list_remove(&asking->link);
    channel_free(&asking->channel);
    memory_free(asking);
}

static bool received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    struct asking *asking = owner;

    (void)channel;
    return asking->answerer->events->received(asking, number, payload);
}

static void closed(void *owner, struct channel *channel, const char *reason)
{
    (void)channel;
    (void)reason; /* workers come and go */
    asking_free(owner);
}

static const struct channel_events channel_events = { .received = received, .closed = closed };

void answerer_init(struct answerer *answerer, struct loop *loop,
                   const struct answerer_events *events, void *owner)
{
    *answerer = (struct answerer){ .loop = loop, .events = events, .owner = owner };
    list_init(&answerer->all);
}

bool answerer_add(struct answerer *answerer, int fd, struct error *error)
{
    struct asking *asking = memory_new(answerer->events->bytes);

    asking->answerer = answerer;
    asking->channel = channel_new(answerer->loop, fd, &channel_events, asking, error);
    if (asking->channel == NULL) {
        memory_free(asking);
        return false;
    }
    list_append(&answerer->all, &asking->link);
    if (answerer->events->came != NULL)
        answerer->events->came(asking);
    return true;
}

void answerer_clear(struct answerer *answerer)
{
    list_each_removable (link, &answerer->all)
        asking_free(list_entry(link, struct asking, link));
}
