/* SPDX-License-Identifier: Apache-2.0 */
#include "service/cyrus.h"

#include "base/ensure.h"
#include "base/map.h"
#include "base/memory.h"
#include "wire/wire.h"

/* Lives on the stack of the fiber that asks. */
struct question {
    uint64_t id;
    struct fiber *fiber;
    struct arena *arena;
    enum cyrus_step step;
    struct str text, user;
    bool is_answered;
    bool is_lost; /* the channel closed */
};

struct cyrus_client {
    struct loop *loop;
    struct channel *channel; /* NULL while there is no sasl role */
    struct map *questions;   /* by id */
    uint64_t last_id;
};

static struct str question_key(const uint64_t *id)
{
    return str_of((const char *)id, sizeof *id);
}

static void answer(struct cyrus_client *client, uint64_t query, enum cyrus_step step,
                   struct str text, struct str user)
{
    struct question *question = map_find(client->questions, question_key(&query));

    if (question == NULL || question->is_answered)
        return; /* given up meanwhile */
    question->step = step;
    question->text = arena_copy(question->arena, text);
    question->user = arena_copy(question->arena, user);
    question->is_answered = true;
    fiber_wake(question->fiber);
}

static bool answer_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct cyrus_client *client = owner;
    struct wire_sasl_step step;
    struct wire_sasl_mechanisms mechanisms;

    if (number == WIRE_sasl_step && wire_decode_sasl_step(channel, payload, &step) &&
        step.step <= CYRUS_FAILS) {
        answer(client, step.query, (enum cyrus_step)step.step, step.text, step.user);
        return true;
    }
    if (number == WIRE_sasl_mechanisms &&
        wire_decode_sasl_mechanisms(channel, payload, &mechanisms)) {
        answer(client, mechanisms.query, CYRUS_ACCEPTS, mechanisms.names, STR(""));
        return true;
    }
    return false;
}

/* Nobody will answer. */
static void lose_questions(struct cyrus_client *client)
{
    struct map_cursor cursor = { 0 };

    while (map_next(client->questions, &cursor)) {
        struct question *question = cursor.value;
        question->is_lost = true;
        fiber_wake(question->fiber);
    }
}

static void cyrus_closed(void *owner, struct channel *channel, const char *reason)
{
    struct cyrus_client *client = owner;

    (void)reason; /* the master logs why it ended, and sends a channel to the next one */
    if (client->channel != channel)
        return;
    channel_free(&client->channel);
    lose_questions(client);
}

static const struct channel_events client_events = { .received = answer_received,
                                                     .closed = cyrus_closed };

struct cyrus_client *cyrus_client_new(struct loop *loop)
{
    struct cyrus_client *client = memory_new(sizeof *client);

    client->loop = loop;
    client->questions = map_new();
    return client;
}

void cyrus_client_free(struct cyrus_client **client)
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

bool cyrus_client_attach(struct cyrus_client *client, int fd, struct error *error)
{
    struct channel *channel = channel_new(client->loop, fd, &client_events, client, error);

    if (channel == NULL)
        return error_context(error, "channel to sasl");
    if (client->channel != NULL)
        channel_free(&client->channel);
    client->channel = channel;
    lose_questions(client);
    return true;
}

/* Between asking and the answer; the message is sent in between. */
static void question_begin(struct cyrus_client *client, struct question *question, uint64_t id,
                           struct arena *arena)
{
    *question = (struct question){ .id = id, .fiber = fiber_current(client->loop), .arena = arena };
    map_set(client->questions, question_key(&question->id), question);
}

static bool question_wait(struct cyrus_client *client, struct question *question,
                          int64_t deadline_ms)
{
    while (!question->is_answered && !question->is_lost &&
           fiber_wait(client->loop, "an answer of SASL", deadline_ms) == WAKE_READY)
        continue;
    map_remove(client->questions, question_key(&question->id));
    return question->is_answered;
}

bool cyrus_mechanisms(struct cyrus_client *client, struct arena *arena, int64_t deadline_ms,
                      struct str *names)
{
    struct question question;

    if (client->channel == NULL)
        return false;
    question_begin(client, &question, ++client->last_id, arena);
    wire_send_sasl_list(client->channel, &(struct wire_sasl_list){ .query = question.id });
    if (!question_wait(client, &question, deadline_ms))
        return false;
    *names = question.text;
    return true;
}

static enum cyrus_step finish(struct cyrus_exchange *exchange, struct question *question,
                              int64_t deadline_ms)
{
    if (!question_wait(exchange->client, question, deadline_ms)) {
        cyrus_end(exchange);
        exchange->text = STR("Connection lost to authentication server");
        exchange->user = STR("");
        return CYRUS_FAILS;
    }
    exchange->text = question->text;
    exchange->user = question->user;
    return question->step;
}

enum cyrus_step cyrus_start(struct cyrus_client *client, struct arena *arena,
                            const struct cyrus_request *request, int64_t deadline_ms,
                            struct cyrus_exchange *exchange)
{
    struct question question;

    *exchange = (struct cyrus_exchange){ .client = client, .arena = arena };
    if (client->channel == NULL) {
        exchange->text = STR("Connection lost to authentication server");
        return CYRUS_FAILS;
    }
    exchange->query = ++client->last_id;
    question_begin(client, &question, exchange->query, arena);
    wire_send_sasl_start(client->channel,
                         &(struct wire_sasl_start){ .query = exchange->query,
                                                    .service = request->service,
                                                    .host = request->host,
                                                    .realm = request->realm,
                                                    .mechanism = request->mechanism,
                                                    .has_initial = request->has_initial,
                                                    .initial = request->initial });
    return finish(exchange, &question, deadline_ms);
}

enum cyrus_step cyrus_continue(struct cyrus_exchange *exchange, struct str response,
                               int64_t deadline_ms)
{
    struct cyrus_client *client = exchange->client;
    struct question question;

    if (client->channel == NULL) {
        exchange->text = STR("Connection lost to authentication server");
        return CYRUS_FAILS;
    }
    question_begin(client, &question, exchange->query, exchange->arena);
    wire_send_sasl_continue(client->channel, &(struct wire_sasl_continue){ .query = exchange->query,
                                                                           .response = response });
    return finish(exchange, &question, deadline_ms);
}

void cyrus_end(struct cyrus_exchange *exchange)
{
    if (exchange->client->channel != NULL)
        wire_send_sasl_end(exchange->client->channel,
                           &(struct wire_sasl_end){ .query = exchange->query });
}
