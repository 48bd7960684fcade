/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/asker.h"

#include "base/ensure.h"
#include "base/memory.h"

struct peer {
    struct list link;
    struct channel *channel;
    uint64_t number;
};

static struct str question_key(const uint64_t *id)
{
    return str_of((const char *)id, sizeof *id);
}

static struct peer *newest(const struct asker *asker)
{
    return list_is_empty(&asker->peers) ? NULL : list_entry(asker->peers.next, struct peer, link);
}

static void put(struct asker *asker, struct question *question)
{
    struct peer *peer = newest(asker);

    question->peer = peer == NULL ? 0 : peer->number;
    if (peer != NULL)
        asker->send(peer->channel, question);
}

/* What was put to nobody so far (0), or to a peer that is gone. */
static void put_again(struct asker *asker, uint64_t peer)
{
    struct map_cursor cursor = { 0 };

    while (map_next(asker->questions, &cursor)) {
        struct question *question = cursor.value;
        if (question->peer != peer || question->is_answered)
            continue;
        if (!question->is_bound) {
            put(asker, question);
            continue;
        }
        question->is_lost = true;
        fiber_wake(question->fiber);
    }
}

static void peer_free(struct peer *peer)
{
    list_remove(&peer->link);
    channel_free(&peer->channel);
    memory_free(peer);
}

static void peer_closed(void *owner, struct channel *channel, const char *reason)
{
    struct asker *asker = owner;

    (void)reason; /* the master logs why it ended, and sends a channel to the next one */
    list_each_removable (link, &asker->peers) {
        struct peer *peer = list_entry(link, struct peer, link);
        if (peer->channel != channel)
            continue;
        uint64_t number = peer->number;
        peer_free(peer);
        put_again(asker, number);
        return;
    }
}

void asker_init(struct asker *asker, const struct asker_options *options)
{
    *asker = (struct asker){
        .loop = options->loop,
        .peer = options->peer,
        .events = { .received = options->received, .closed = peer_closed },
        .send = options->send,
        .questions = map_new(),
    };
    list_init(&asker->peers);
}

void asker_clear(struct asker *asker)
{
    ensure(map_count(asker->questions) == 0);
    list_each_removable (link, &asker->peers)
        peer_free(list_entry(link, struct peer, link));
    map_free(&asker->questions);
}

bool asker_attach(struct asker *asker, int fd, struct error *error)
{
    struct channel *channel = channel_new(asker->loop, fd, &asker->events, asker, error);
    struct peer *peer;

    if (channel == NULL)
        return error_context(error, "channel to %s", asker->peer);
    peer = memory_new(sizeof *peer);
    peer->channel = channel;
    peer->number = ++asker->last_peer;
    list_prepend(&asker->peers, &peer->link);
    put_again(asker, 0);
    return true;
}

struct channel *asker_channel(const struct asker *asker)
{
    const struct peer *peer = newest(asker);

    return peer == NULL ? NULL : peer->channel;
}

struct channel *asker_channel_of(const struct asker *asker, uint64_t number)
{
    list_each (link, &asker->peers) {
        struct peer *peer = list_entry(link, struct peer, link);
        if (peer->number == number)
            return peer->channel;
    }
    return NULL;
}

uint64_t asker_newest(const struct asker *asker)
{
    const struct peer *peer = newest(asker);

    return peer == NULL ? 0 : peer->number;
}

/* The newest is the first, so numbers get smaller. */
uint64_t asker_peer_before(const struct asker *asker, uint64_t number)
{
    list_each (link, &asker->peers) {
        const struct peer *peer = list_entry(link, struct peer, link);
        if (peer->number < number)
            return peer->number;
    }
    return 0;
}

static void begin(struct asker *asker, struct question *question)
{
    if (question->id == 0)
        question->id = ++asker->last_id;
    question->fiber = fiber_current(asker->loop);
    map_set(asker->questions, question_key(&question->id), question);
    question->is_bound = question->peer != 0;
    if (!question->is_bound) {
        put(asker, question);
        return;
    }
    struct channel *channel = asker_channel_of(asker, question->peer);
    question->is_lost = channel == NULL;
    if (channel != NULL)
        asker->send(channel, question);
}

bool asker_ask(struct asker *asker, struct question *question, const char *what,
               int64_t deadline_ms)
{
    begin(asker, question);
    while (!question->is_answered && !question->is_lost &&
           fiber_wait(asker->loop, what, deadline_ms) == WAKE_READY)
        continue;
    map_remove(asker->questions, question_key(&question->id));
    return question->is_answered;
}

struct question *asker_find(struct asker *asker, uint64_t id)
{
    struct question *question = map_find(asker->questions, question_key(&id));

    return question != NULL && !question->is_answered ? question : NULL;
}

void asker_answered(struct question *question)
{
    question->is_answered = true;
    fiber_wake(question->fiber);
}
