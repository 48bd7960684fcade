/* SPDX-License-Identifier: Apache-2.0 */
#include "service/verify.h"

#include "base/ensure.h"
#include "base/map.h"
#include "base/memory.h"
#include "wire/wire.h"

/* Lives on the stack of the fiber that asks. */
struct question {
    uint64_t id;
    struct fiber *fiber;
    struct arena *arena;
    enum verify_status status;
    struct str reason;
    bool is_answered;
    bool is_lost; /* the channel closed */
};

struct verify_client {
    struct loop *loop;
    struct channel *channel; /* NULL while there is no verify role */
    struct map *questions;   /* by id */
    uint64_t last_id;
};

static struct str question_key(const uint64_t *id)
{
    return str_of((const char *)id, sizeof *id);
}

static bool answer_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct verify_client *client = owner;
    struct wire_verify_answer message;

    if (number != WIRE_verify_answer || !wire_decode_verify_answer(channel, payload, &message) ||
        message.status > VERIFY_UNKNOWN)
        return false;
    struct question *question = map_find(client->questions, question_key(&message.query));
    if (question == NULL || question->is_answered)
        return true; /* given up meanwhile */
    question->status = (enum verify_status)message.status;
    question->reason = arena_copy(question->arena, message.reason);
    question->is_answered = true;
    fiber_wake(question->fiber);
    return true;
}

/* Nobody will answer. */
static void lose_questions(struct verify_client *client)
{
    struct map_cursor cursor = { 0 };

    while (map_next(client->questions, &cursor)) {
        struct question *question = cursor.value;
        question->is_lost = true;
        fiber_wake(question->fiber);
    }
}

static void verify_closed(void *owner, struct channel *channel, const char *reason)
{
    struct verify_client *client = owner;

    (void)reason; /* the master logs why it ended, and sends a channel to the next one */
    if (client->channel != channel)
        return;
    channel_free(&client->channel);
    lose_questions(client);
}

static const struct channel_events client_events = { .received = answer_received,
                                                     .closed = verify_closed };

struct verify_client *verify_client_new(struct loop *loop)
{
    struct verify_client *client = memory_new(sizeof *client);

    client->loop = loop;
    client->questions = map_new();
    return client;
}

void verify_client_free(struct verify_client **client)
{
    if (*client == NULL)
        return;
    ensure(map_count((*client)->questions) == 0);
    if ((*client)->channel != NULL)
        channel_free(&(*client)->channel);
    map_free(&(*client)->questions);
    memory_free(*client);
    *client = NULL;
}

bool verify_client_attach(struct verify_client *client, int fd, struct error *error)
{
    struct channel *channel = channel_new(client->loop, fd, &client_events, client, error);

    if (channel == NULL)
        return error_context(error, "channel to verify");
    if (client->channel != NULL)
        channel_free(&client->channel);
    client->channel = channel;
    lose_questions(client);
    return true;
}

bool verify_ask(struct verify_client *client, struct str address, int64_t deadline_ms,
                struct arena *arena, enum verify_status *status, struct str *reason)
{
    struct question question = { .id = ++client->last_id,
                                 .fiber = fiber_current(client->loop),
                                 .arena = arena };
    struct wire_verify_query message = { .query = question.id, .address = address };

    if (client->channel == NULL)
        return false;
    map_set(client->questions, question_key(&question.id), &question);
    wire_send_verify_query(client->channel, &message);
    while (!question.is_answered && !question.is_lost &&
           fiber_wait(client->loop, "verify's answer", deadline_ms) == WAKE_READY)
        continue;
    map_remove(client->questions, question_key(&question.id));
    *status = question.status;
    *reason = question.reason;
    return question.is_answered;
}
