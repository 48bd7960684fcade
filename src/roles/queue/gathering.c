/* SPDX-License-Identifier: Apache-2.0 */
#include "gathering.h"

#include "base/memory.h"
#include "mail/address.h"
#include "queue.h"

/* Recipients of one delivery, so that it fits a channel's frame. */
enum { BATCH_MAX = 500 };

/* Recipients of one destination gather here until the batch is full. */
struct gathering {
    struct destination *destination;
    struct attempt *attempt;
    size_t capacity;
    struct gathering *next;
};

static size_t batch_limit(const struct message *message, const struct destination *destination,
                          size_t remaining)
{
    size_t limit = destination->transport->settings.recipient_limit;

    if (message->envelope.verp.len > 0)
        limit = 1; /* each recipient has a sender of its own */
    if (limit == 0 || limit > BATCH_MAX)
        limit = BATCH_MAX;
    return limit > remaining ? remaining : limit;
}

struct attempt *attempt_new(struct message *message, struct destination *destination,
                            size_t capacity)
{
    struct attempt *attempt =
        memory_new(sizeof *attempt + capacity * sizeof attempt->recipients[0]);

    attempt->message = message;
    attempt->destination = destination;
    list_init(&attempt->link);
    list_append(&message->attempts, &attempt->message_link);
    message->attempts_open++;
    return attempt;
}

void attempt_add(struct attempt *attempt, uint32_t recipient)
{
    attempt->recipients[attempt->count++] = recipient;
    attempt->open_count++;
}

static void gather(struct message *message, struct gathering *gathering, uint32_t index,
                   size_t remaining)
{
    struct attempt *attempt = gathering->attempt;

    if (attempt == NULL || attempt->count == gathering->capacity) {
        gathering->capacity = batch_limit(message, gathering->destination, remaining);
        attempt = gathering->attempt =
            attempt_new(message, gathering->destination, gathering->capacity);
    }
    attempt_add(attempt, index);
}

/* The usual message has one destination, or a run of recipients for each: the last one used is
 * tried first, the map is for messages to many. */
struct gatherings {
    struct arena arena;
    struct gathering *last;
    struct gathering *all;
    struct map *by_key; /* made with the second destination */
};

static struct gathering *find_gathering(struct gatherings *gatherings,
                                        struct destination *destination)
{
    if (gatherings->last != NULL && gatherings->last->destination == destination)
        return gatherings->last;
    struct gathering *found =
        gatherings->by_key == NULL ? NULL : map_find(gatherings->by_key, destination->key);
    if (found == NULL) {
        found = arena_new(&gatherings->arena, sizeof *found);
        found->destination = destination;
        found->next = gatherings->all;
        if (gatherings->all != NULL && gatherings->by_key == NULL) {
            gatherings->by_key = map_new();
            map_set(gatherings->by_key, gatherings->all->destination->key, gatherings->all);
        }
        if (gatherings->by_key != NULL)
            map_set(gatherings->by_key, destination->key, found);
        gatherings->all = found;
    }
    gatherings->last = found;
    return found;
}

bool place_find(struct queue *queue, struct arena *scratch, const struct envelope *envelope,
                struct str recipient, struct place *place, struct error *error)
{
    bool is_probe = (envelope->flags & ENVELOPE_PROBE) != 0;
    struct router *router = is_probe ? queue->settings->probe_router : queue->settings->router;
    struct route route;

    if (!router_find(router, scratch, envelope->sender, recipient, &route, error))
        return false;
    if (envelope->filter.len > 0)
        route_through_filter(router, scratch, envelope->filter, &route);
    *place = (struct place){ .transport = transport_find(queue, route.transport),
                             .nexthop = route.nexthop,
                             .address = route.address,
                             .is_local = route.address_class == CLASS_LOCAL,
                             .is_bad = route.is_bad };
    return true;
}

/* A notice to the postmaster is sent as from this address; what comes back ends here, so that no
 * mailbox is needed for it. */
static bool is_for_nobody(const struct queue *queue, const struct place *place)
{
    return place->is_local && str_equal_fold(address_local(place->address),
                                             queue->settings->config->double_bounce_sender);
}

static struct destination *route_recipient(struct message *message, struct arena *scratch,
                                           uint32_t index)
{
    struct queue *queue = message->queue;
    struct str address = message->envelope.recipients[index].address;
    struct place place;
    struct error error = { 0 };

    if (!place_find(queue, scratch, &message->envelope, address, &place, &error)) {
        log_warning(&queue->settings->speakers[SPEAKER_QMGR], "%s: %s", message->id.text,
                    error.message);
        place = (struct place){ .transport = transport_find(queue, STR("retry")),
                                .nexthop = STR("4.3.0 address resolver failure"),
                                .address = address };
    }
    /* user%far@here is delivered to user@far, and logged so. */
    if (!str_equal(place.address, address) && place.address.len > 0 && !place.is_bad)
        message_readdress(message, index, place.address);
    if (is_for_nobody(queue, &place)) {
        place.transport = transport_find(queue, STR(TRANSPORT_NOWHERE));
        place.nexthop = STR("undeliverable postmaster notification discarded");
    }
    if (place.transport->settings.is_deferred && !message->is_flushed) {
        place.transport = transport_find(queue, STR("retry"));
        place.nexthop = STR("4.3.2 deferred transport");
    }
    return destination_find(place.transport, queue, place.nexthop, place.address);
}

/* By how many deliveries the message means for each transport. */
static void choose_lanes(struct message *message)
{
    list_each (link, &message->attempts)
        list_entry(link, struct attempt, message_link)->destination->transport->taken++;
    list_each (link, &message->attempts) {
        struct attempt *attempt = list_entry(link, struct attempt, message_link);
        const struct transport *transport = attempt->destination->transport;
        attempt->lane = (uint8_t)lane_for(transport->taken, transport->settings.overtaken_from);
    }
    list_each (link, &message->attempts)
        list_entry(link, struct attempt, message_link)->destination->transport->taken = 0;
}

void gather_attempts(struct message *message)
{
    struct gatherings gatherings = { 0 };
    size_t count = message->envelope.recipient_count;

    for (size_t i = 0; i < count; i++) {
        if (message->envelope.recipients[i].state != RECIPIENT_WAITING ||
            message->verdicts[i] != VERDICT_NONE)
            continue;
        struct destination *destination = route_recipient(message, &gatherings.arena, (uint32_t)i);
        gather(message, find_gathering(&gatherings, destination), (uint32_t)i, count - i);
    }
    choose_lanes(message);
    map_free(&gatherings.by_key);
    arena_clear(&gatherings.arena);
}

void gather_undo(struct message *message)
{
    list_each_removable (link, &message->attempts) {
        struct attempt *attempt = list_entry(link, struct attempt, message_link);
        list_remove(&attempt->message_link);
        memory_free(attempt);
    }
    message->attempts_open = 0;
}
