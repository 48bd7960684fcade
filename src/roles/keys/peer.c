/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include "base/memory.h"
#include "loop/fiber.h"
#include "net/tls_pem.h"
#include "wire/wire.h"

enum { NAME_BYTES_MAX = 255, LOOKUPS_MAX = 5000, CHAIN_BYTES_MAX = CHANNEL_FRAME_MAX / 2 };

struct peer {
    struct asking asking;
    struct list lookups; /* struct lookup, by link */
    size_t lookup_count;
    bool does_not_count;
};

/* A look-up in tls_server_sni_maps: a fiber, as a table may be a server's. */
struct lookup {
    struct list link;
    struct peer *peer; /* NULL: it went away */
    struct keys_side *side;
    const struct sni_maps *maps;
    uint64_t query;
    struct str owner, name;
    struct arena arena;
};

static struct keys_side *side_of(const struct peer *peer)
{
    return peer->asking.answerer->owner;
}

/* ---- using a key ---- */

static bool on_use(struct peer *peer, struct str payload)
{
    struct keys_side *side = side_of(peer);
    struct wire_keys_use message;
    autofree_buf struct buf result = { .limit = TLS_KEY_RESULT_MAX };
    autoclear_arena struct arena scratch = { 0 };

    if (!wire_decode_keys_use(peer->asking.channel, payload, &message) ||
        message.service.len > NAME_BYTES_MAX || message.key.len != TLS_KEY_NAME_BYTES ||
        message.use >= TLS_KEY_USES || message.digest >= TLS_KEY_DIGEST_COUNT ||
        message.text.len > TLS_KEY_TEXT_MAX)
        return false;
    const struct tls_key_request request = {
        .owner = keyring_owner(&scratch, side->role, message.service),
        .key = message.key,
        .use = (enum tls_key_use)message.use,
        .digest = (enum tls_key_digest)message.digest,
        .client_version = message.client_version,
        .negotiated_version = message.negotiated_version,
        .text = message.text,
    };
    enum tls_key_outcome outcome = tls_keys_use(side->keyring->keys, &request, &result);
    side->counts->used += request.use != TLS_KEY_FIND;
    side->counts->failed += request.use != TLS_KEY_FIND && outcome != TLS_KEY_DONE;
    wire_send_keys_used(peer->asking.channel,
                        &(struct wire_keys_used){ .query = message.query,
                                                  .outcome = (uint8_t)outcome,
                                                  .result = buf_str(&result) });
    explicit_bzero(result.ptr, result.len);
    return true;
}

/* ---- chains by name ---- */

static enum tls_chain_outcome find_chain(const struct lookup *lookup, struct buf *blank)
{
    struct keys_side *side = lookup->side;
    autofree_buf struct buf pem = { 0 };
    struct error error;
    enum tls_chain_outcome outcome = sni_maps_find(lookup->maps, lookup->name, &pem);

    if (outcome == TLS_CHAIN_FOUND &&
        !tls_keys_add_chain(side->keyring->keys, buf_str(&pem), lookup->owner, &error))
        outcome = TLS_CHAIN_BROKEN;
    if (outcome == TLS_CHAIN_FOUND)
        tls_pem_blank(buf_str(&pem), blank);
    explicit_bzero(pem.ptr, pem.len);
    return blank->is_overflowed ? TLS_CHAIN_BROKEN : outcome;
}

static void look_up(void *argument)
{
    struct lookup *lookup = argument;
    autofree_buf struct buf blank = { .limit = CHAIN_BYTES_MAX };
    enum tls_chain_outcome outcome = find_chain(lookup, &blank);

    if (lookup->peer != NULL) {
        lookup->peer->lookup_count--;
        wire_send_keys_chained(lookup->peer->asking.channel,
                               &(struct wire_keys_chained){ .query = lookup->query,
                                                            .outcome = (uint8_t)outcome,
                                                            .chain = buf_str(&blank) });
    }
    list_remove(&lookup->link);
    arena_clear(&lookup->arena);
    memory_free(lookup);
}

static bool on_chain(struct peer *peer, struct str payload)
{
    struct keys_side *side = side_of(peer);
    struct wire_keys_chain message;

    if (!wire_decode_keys_chain(peer->asking.channel, payload, &message) ||
        !str_equal(str_from(side->role), STR("smtpd")) || message.service.len > NAME_BYTES_MAX ||
        message.name.len > NAME_BYTES_MAX || peer->lookup_count >= LOOKUPS_MAX)
        return false;
    const struct sni_maps *maps = keyring_find_maps(side->keyring, message.maps);
    side->counts->chains++;
    if (maps == NULL) {
        wire_send_keys_chained(
            peer->asking.channel,
            &(struct wire_keys_chained){ .query = message.query, .outcome = TLS_CHAIN_FAILED });
        return true;
    }
    struct lookup *lookup = memory_new(sizeof *lookup);
    lookup->peer = peer;
    lookup->side = side;
    lookup->maps = maps;
    lookup->query = message.query;
    lookup->owner = keyring_owner(&lookup->arena, side->role, message.service);
    lookup->name = arena_copy(&lookup->arena, message.name);
    list_append(&peer->lookups, &lookup->link);
    peer->lookup_count++;
    (void)fiber_start(side->askers.loop, "SNI chain", look_up, lookup);
    return true;
}

/* ---- peers ---- */

static bool received(struct asking *asking, uint16_t number, struct str payload)
{
    struct peer *peer = list_entry(asking, struct peer, asking);

    switch (number) {
    case WIRE_keys_use:
        return on_use(peer, payload);
    case WIRE_keys_chain:
        return on_chain(peer, payload);
    default:
        return false;
    }
}

static void came(struct asking *asking)
{
    struct peer *peer = list_entry(asking, struct peer, asking);

    list_init(&peer->lookups);
    peer->does_not_count = side_of(peer)->is_retired;
}

static void gone(struct asking *asking)
{
    struct peer *peer = list_entry(asking, struct peer, asking);
    const struct keys_side *side = side_of(peer);

    list_each_removable (link, &peer->lookups) {
        list_entry(link, struct lookup, link)->peer = NULL;
        list_remove(link);
    }
    peer->does_not_count = true;
    if (side->gone != NULL)
        side->gone(side->argument);
}

static const struct answerer_events events = {
    .bytes = sizeof(struct peer), .came = came, .received = received, .gone = gone
};

void keys_side_init(struct keys_side *side, struct loop *loop)
{
    answerer_init(&side->askers, loop, &events, side);
}

bool keys_side_add(struct keys_side *side, int fd, struct error *error)
{
    return answerer_add(&side->askers, fd, error);
}

void keys_side_retire(struct keys_side *side)
{
    side->is_retired = true;
}

size_t keys_side_count(const struct keys_side *side)
{
    size_t count = 0;

    list_each (link, &side->askers.all)
        count += !list_entry(link, struct peer, asking.link)->does_not_count;
    return count;
}

void keys_side_clear(struct keys_side *side)
{
    side->gone = NULL;
    answerer_clear(&side->askers);
}
