/* SPDX-License-Identifier: Apache-2.0 */
#include "service/anvil.h"

#include "base/ensure.h"
#include "base/map.h"
#include "base/memory.h"
#include "wire/wire.h"

/* Lives on the stack of the fiber that asks. */
struct question {
    uint64_t id;
    struct fiber *fiber;
    struct anvil_counts *counts;
    bool is_answered;
    bool is_lost; /* the channel closed */
};

struct anvil_client {
    struct loop *loop;
    struct channel *channel; /* NULL while there is no anvil */
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
    struct anvil_client *client = owner;
    struct wire_anvil_counted message;

    if (number != WIRE_anvil_counted || !wire_decode_anvil_counted(channel, payload, &message))
        return false;
    struct question *question = map_find(client->questions, question_key(&message.query));
    if (question == NULL || question->is_answered)
        return true; /* given up meanwhile */
    *question->counts = (struct anvil_counts){ message.connections, message.rate };
    question->is_answered = true;
    fiber_wake(question->fiber);
    return true;
}

/* Nobody will answer: who waits goes on without a limit. */
static void lose_questions(struct anvil_client *client)
{
    struct map_cursor cursor = { 0 };

    while (map_next(client->questions, &cursor)) {
        struct question *question = cursor.value;
        question->is_lost = true;
        fiber_wake(question->fiber);
    }
}

static void anvil_closed(void *owner, struct channel *channel, const char *reason)
{
    struct anvil_client *client = owner;

    (void)reason; /* the master logs why it ended, and sends a channel to the next one */
    if (client->channel != channel)
        return;
    channel_free(&client->channel);
    lose_questions(client);
}

static const struct channel_events client_events = { .received = answer_received,
                                                     .closed = anvil_closed };

struct anvil_client *anvil_client_new(struct loop *loop)
{
    struct anvil_client *client = memory_new(sizeof *client);

    client->loop = loop;
    client->questions = map_new();
    return client;
}

void anvil_client_free(struct anvil_client **client)
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

bool anvil_client_attach(struct anvil_client *client, int fd, struct error *error)
{
    struct channel *channel = channel_new(client->loop, fd, &client_events, client, error);

    if (channel == NULL)
        return error_context(error, "channel to anvil");
    if (client->channel != NULL)
        channel_free(&client->channel);
    client->channel = channel;
    lose_questions(client);
    return true;
}

bool anvil_count(struct anvil_client *client, enum anvil_event event, struct str who,
                 int64_t deadline_ms, struct anvil_counts *counts)
{
    struct question question = { .id = ++client->last_id,
                                 .fiber = fiber_current(client->loop),
                                 .counts = counts };
    struct wire_anvil_count message = { .query = question.id,
                                        .event = (uint8_t)event,
                                        .client = who };

    if (client->channel == NULL)
        return false;
    map_set(client->questions, question_key(&question.id), &question);
    wire_send_anvil_count(client->channel, &message);
    while (!question.is_answered && !question.is_lost &&
           fiber_wait(client->loop, "anvil's count", deadline_ms) == WAKE_READY)
        continue;
    map_remove(client->questions, question_key(&question.id));
    return question.is_answered;
}

void anvil_end(struct anvil_client *client, struct str who)
{
    if (client->channel != NULL)
        wire_send_anvil_ended(client->channel, &(struct wire_anvil_ended){ .client = who });
}
