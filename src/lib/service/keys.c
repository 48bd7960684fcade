/* SPDX-License-Identifier: Apache-2.0 */
#include "service/keys.h"

#include "base/list.h"
#include "base/memory.h"
#include "wire/asker.h"
#include "wire/wire.h"

enum {
    SUCCESSOR_MS = 5000, /* by then one that ended has one, or it cannot start */
    ANSWER_MS = 30 * 1000,
};

struct keys_client {
    struct asker asker;
    struct tls_key_holder holder;
    struct map *found; /* struct found by the key's name */
};

/* A key is known to be there as long as this one is the newest. */
struct found {
    uint64_t peer;
};

struct keys_question {
    struct question question;
    const struct tls_key_request *request; /* NULL: a chain, of: */
    struct str service, maps, name;
    struct buf *result;
    uint8_t outcome;
};

static void send_question(struct channel *channel, struct question *question)
{
    const struct keys_question *asked = list_entry(question, struct keys_question, question);
    const struct tls_key_request *request = asked->request;

    if (request == NULL) {
        wire_send_keys_chain(channel, &(struct wire_keys_chain){ .query = question->id,
                                                                 .service = asked->service,
                                                                 .maps = asked->maps,
                                                                 .name = asked->name });
        return;
    }
    wire_send_keys_use(channel,
                       &(struct wire_keys_use){ .query = question->id,
                                                .service = request->owner,
                                                .key = request->key,
                                                .use = (uint8_t)request->use,
                                                .digest = (uint8_t)request->digest,
                                                .client_version = request->client_version,
                                                .negotiated_version = request->negotiated_version,
                                                .text = request->text });
}

static void answer(struct asker *asker, uint64_t query, uint8_t outcome, struct str result)
{
    struct question *found = asker_find(asker, query);

    if (found == NULL)
        return;
    struct keys_question *asked = list_entry(found, struct keys_question, question);
    asked->outcome = outcome;
    buf_append(asked->result, result);
    asker_answered(found);
}

static bool answer_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct wire_keys_used used;
    struct wire_keys_chained chained;

    if (number == WIRE_keys_used && wire_decode_keys_used(channel, payload, &used) &&
        used.outcome <= TLS_KEY_FAILED) {
        answer(owner, used.query, used.outcome, used.result);
        return true;
    }
    if (number == WIRE_keys_chained && wire_decode_keys_chained(channel, payload, &chained) &&
        chained.outcome <= TLS_CHAIN_BROKEN) {
        answer(owner, chained.query, chained.outcome, chained.chain);
        return true;
    }
    return false;
}

static bool ask_once(struct keys_client *client, struct keys_question *asked)
{
    bool has_peer = asker_channel(&client->asker) != NULL;

    return asker_ask(&client->asker, &asked->question, "an answer of keys",
                     loop_now_ms(client->asker.loop) + (has_peer ? ANSWER_MS : SUCCESSOR_MS));
}

/* The newest one first, then those that are about to go. */
static enum tls_key_outcome use_key(struct keys_client *client,
                                    const struct tls_key_request *request, struct buf *result)
{
    uint64_t peer = 0;

    do {
        struct keys_question asked = { .question = { .peer = peer },
                                       .request = request,
                                       .result = result };
        if (ask_once(client, &asked)) {
            if (asked.outcome != TLS_KEY_UNKNOWN)
                return (enum tls_key_outcome)asked.outcome;
            peer = asked.question.peer;
        }
        peer = asker_peer_before(&client->asker, peer);
    } while (peer != 0);
    return TLS_KEY_UNKNOWN;
}

static bool holder_asks(void *argument, const struct tls_key_request *request, struct buf *result)
{
    return use_key(argument, request, result) == TLS_KEY_DONE;
}

struct keys_client *keys_client_new(struct loop *loop)
{
    struct keys_client *client = memory_new(sizeof *client);

    asker_init(&client->asker, &(struct asker_options){ .loop = loop,
                                                        .peer = "keys",
                                                        .received = answer_received,
                                                        .send = send_question });
    client->holder = (struct tls_key_holder){ .ask = holder_asks, .argument = client };
    client->found = map_new();
    return client;
}

void keys_client_free(struct keys_client **client)
{
    struct map_cursor cursor = { 0 };

    if (*client == NULL)
        return;
    asker_clear(&(*client)->asker);
    tls_key_holder_clear(&(*client)->holder);
    while (map_next((*client)->found, &cursor))
        memory_free(cursor.value);
    map_free(&(*client)->found);
    memory_free(*client);
    *client = NULL;
}

bool keys_client_attach(struct keys_client *client, int fd, struct error *error)
{
    return asker_attach(&client->asker, fd, error);
}

struct tls_key_holder *keys_client_holder(struct keys_client *client)
{
    return &client->holder;
}

static bool has_key(struct keys_client *client, struct str service, struct str key)
{
    const struct tls_key_request request = { .owner = service, .key = key, .use = TLS_KEY_FIND };
    autofree_buf struct buf nothing = { 0 }, name = { 0 };

    buf_append(&name, service);
    buf_append(&name, key);
    struct found *found = map_find(client->found, buf_str(&name));

    if (found != NULL && found->peer != 0 && found->peer == asker_newest(&client->asker))
        return true;
    if (use_key(client, &request, &nothing) != TLS_KEY_DONE)
        return false;
    found = map_find(client->found, buf_str(&name));
    if (found == NULL) {
        found = memory_new(sizeof *found);
        map_set(client->found, buf_str(&name), found);
    }
    found->peer = asker_newest(&client->asker);
    return true;
}

bool keys_client_has(struct keys_client *client, struct str service,
                     const struct tls_context *context)
{
    struct str key;

    for (size_t at = 0; tls_context_next_key(context, &at, &key);)
        if (!has_key(client, service, key))
            return false;
    return true;
}

enum tls_chain_outcome keys_client_find_chain(struct keys_client *client, struct str service,
                                              struct str maps, struct str name, struct buf *chain)
{
    struct keys_question asked = {
        .service = service, .maps = maps, .name = name, .result = chain
    };

    return ask_once(client, &asked) ? (enum tls_chain_outcome)asked.outcome : TLS_CHAIN_FAILED;
}
