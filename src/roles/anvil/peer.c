/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include "base/clock.h"
#include "base/memory.h"
#include "wire/wire.h"

struct peer {
    struct list link;
    struct anvil *anvil;
    struct channel *channel;
    struct counts_holder *holder;
};

static bool on_count(struct peer *peer, struct str payload)
{
    struct wire_anvil_count message;

    if (!wire_decode_anvil_count(peer->channel, payload, &message) ||
        message.event >= ANVIL_EVENT_COUNT)
        return false;
    enum anvil_event event = (enum anvil_event)message.event;
    int64_t now_s = clock_wall_us() / 1000000, unit_s = peer->anvil->unit_s;
    struct anvil_counts counts =
        message.is_question ? counts_look(peer->anvil->counts, event, message.client, now_s, unit_s)
                            : counts_add(peer->holder, event, message.client, now_s, unit_s);
    wire_send_anvil_counted(peer->channel,
                            &(struct wire_anvil_counted){ .query = message.query,
                                                          .connections = counts.connections,
                                                          .rate = counts.rate });
    return true;
}

static bool peer_received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    struct peer *peer = owner;
    struct wire_anvil_ended ended;

    switch (number) {
    case WIRE_anvil_count:
        return on_count(peer, payload);
    case WIRE_anvil_ended:
        if (!wire_decode_anvil_ended(channel, payload, &ended))
            return false;
        counts_end_connection(peer->holder, ended.client);
        return true;
    default:
        return false;
    }
}

static void peer_free(struct peer *peer)
{
    list_remove(&peer->link);
    counts_holder_free(&peer->holder);
    channel_free(&peer->channel);
    memory_free(peer);
}

static void peer_closed(void *owner, struct channel *channel, const char *reason)
{
    (void)channel;
    (void)reason; /* workers come and go with each reload */
    peer_free(owner);
}

static const struct channel_events peer_events = { .received = peer_received,
                                                   .closed = peer_closed };

bool anvil_peer_add(struct anvil *anvil, int fd, struct error *error)
{
    struct peer *peer = memory_new(sizeof *peer);

    peer->anvil = anvil;
    peer->channel = channel_new(anvil->loop, fd, &peer_events, peer, error);
    if (peer->channel == NULL) {
        memory_free(peer);
        return false;
    }
    peer->holder = counts_holder_new(anvil->counts);
    list_append(&anvil->peers, &peer->link);
    return true;
}

void anvil_peers_clear(struct anvil *anvil)
{
    list_each_removable (link, &anvil->peers)
        peer_free(list_entry(link, struct peer, link));
}
