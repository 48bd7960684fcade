/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include "base/clock.h"
#include "wire/wire.h"

struct peer {
    struct asking asking;
    struct counts_holder *holder;
};

static const struct anvil *anvil_of(const struct peer *peer)
{
    return peer->asking.answerer->owner;
}

static bool on_count(struct peer *peer, struct str payload)
{
    struct wire_anvil_count message;

    if (!wire_decode_anvil_count(peer->asking.channel, payload, &message) ||
        message.event >= ANVIL_EVENT_COUNT)
        return false;
    enum anvil_event event = (enum anvil_event)message.event;
    int64_t now_s = clock_wall_us() / 1000000, unit_s = anvil_of(peer)->unit_s;
    struct anvil_counts counts =
        message.is_question
            ? counts_look(anvil_of(peer)->counts, event, message.client, now_s, unit_s)
            : counts_add(peer->holder, event, message.client, now_s, unit_s);
    wire_send_anvil_counted(peer->asking.channel,
                            &(struct wire_anvil_counted){ .query = message.query,
                                                          .connections = counts.connections,
                                                          .rate = counts.rate });
    return true;
}

static bool received(struct asking *asking, uint16_t number, struct str payload)
{
    struct peer *peer = list_entry(asking, struct peer, asking);
    struct wire_anvil_ended ended;

    switch (number) {
    case WIRE_anvil_count:
        return on_count(peer, payload);
    case WIRE_anvil_ended:
        if (!wire_decode_anvil_ended(asking->channel, payload, &ended))
            return false;
        counts_end_connection(peer->holder, ended.client);
        return true;
    default:
        return false;
    }
}

static void came(struct asking *asking)
{
    struct peer *peer = list_entry(asking, struct peer, asking);

    peer->holder = counts_holder_new(anvil_of(peer)->counts);
}

static void gone(struct asking *asking)
{
    counts_holder_free(&list_entry(asking, struct peer, asking)->holder);
}

static const struct answerer_events events = {
    .bytes = sizeof(struct peer), .came = came, .received = received, .gone = gone
};

void anvil_peers_init(struct anvil *anvil, struct loop *loop)
{
    answerer_init(&anvil->peers, loop, &events, anvil);
}
