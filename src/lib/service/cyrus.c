/* SPDX-License-Identifier: Apache-2.0 */
#include "service/cyrus.h"

#include "base/list.h"
#include "base/memory.h"
#include "wire/asker.h"
#include "wire/wire.h"

struct cyrus_client {
    struct asker asker;
};

struct cyrus_question {
    struct question question; /* its number is the exchange's */
    struct arena *arena;
    enum cyrus_step step;
    struct str text, user;
};

static void answer(struct asker *asker, uint64_t query, enum cyrus_step step, struct str text,
                   struct str user)
{
    struct question *found = asker_find(asker, query);

    if (found == NULL)
        return;
    struct cyrus_question *asked = list_entry(found, struct cyrus_question, question);
    asked->step = step;
    asked->text = arena_copy(asked->arena, text);
    asked->user = arena_copy(asked->arena, user);
    asker_answered(found);
}

static bool answer_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct wire_sasl_step step;
    struct wire_sasl_mechanisms mechanisms;

    if (number == WIRE_sasl_step && wire_decode_sasl_step(channel, payload, &step) &&
        step.step <= CYRUS_FAILS) {
        answer(owner, step.query, (enum cyrus_step)step.step, step.text, step.user);
        return true;
    }
    if (number == WIRE_sasl_mechanisms &&
        wire_decode_sasl_mechanisms(channel, payload, &mechanisms)) {
        answer(owner, mechanisms.query, CYRUS_ACCEPTS, mechanisms.names, STR(""));
        return true;
    }
    return false;
}

struct cyrus_client *cyrus_client_new(struct loop *loop)
{
    struct cyrus_client *client = memory_new(sizeof *client);

    asker_init(&client->asker, &(struct asker_options){
                                   .loop = loop, .peer = "sasl", .received = answer_received });
    return client;
}

void cyrus_client_free(struct cyrus_client **client)
{
    if (*client == NULL)
        return;
    asker_clear(&(*client)->asker);
    memory_free(*client);
    *client = NULL;
}

bool cyrus_client_attach(struct cyrus_client *client, int fd, struct error *error)
{
    return asker_attach(&client->asker, fd, error);
}

/* Between asking and the answer; the message is sent in between. `id` 0: a new exchange. */
static void question_begin(struct cyrus_client *client, struct cyrus_question *asked, uint64_t id,
                           struct arena *arena)
{
    *asked = (struct cyrus_question){ .question.id = id, .arena = arena };
    asker_begin(&client->asker, &asked->question);
}

static bool question_wait(struct cyrus_client *client, struct cyrus_question *asked,
                          int64_t deadline_ms)
{
    return asker_wait(&client->asker, &asked->question, "an answer of SASL", deadline_ms);
}

bool cyrus_mechanisms(struct cyrus_client *client, struct arena *arena, int64_t deadline_ms,
                      struct str *names)
{
    struct cyrus_question asked;

    if (client->asker.channel == NULL)
        return false;
    question_begin(client, &asked, 0, arena);
    wire_send_sasl_list(client->asker.channel,
                        &(struct wire_sasl_list){ .query = asked.question.id });
    if (!question_wait(client, &asked, deadline_ms))
        return false;
    *names = asked.text;
    return true;
}

static enum cyrus_step finish(struct cyrus_exchange *exchange, struct cyrus_question *asked,
                              int64_t deadline_ms)
{
    if (!question_wait(exchange->client, asked, deadline_ms)) {
        cyrus_end(exchange);
        exchange->text = STR("Connection lost to authentication server");
        exchange->user = STR("");
        return CYRUS_FAILS;
    }
    exchange->text = asked->text;
    exchange->user = asked->user;
    return asked->step;
}

enum cyrus_step cyrus_start(struct cyrus_client *client, struct arena *arena,
                            const struct cyrus_request *request, int64_t deadline_ms,
                            struct cyrus_exchange *exchange)
{
    struct cyrus_question asked;

    *exchange = (struct cyrus_exchange){ .client = client, .arena = arena };
    if (client->asker.channel == NULL) {
        exchange->text = STR("Connection lost to authentication server");
        return CYRUS_FAILS;
    }
    question_begin(client, &asked, 0, arena);
    exchange->query = asked.question.id;
    wire_send_sasl_start(client->asker.channel,
                         &(struct wire_sasl_start){ .query = exchange->query,
                                                    .service = request->service,
                                                    .host = request->host,
                                                    .realm = request->realm,
                                                    .mechanism = request->mechanism,
                                                    .has_initial = request->has_initial,
                                                    .initial = request->initial });
    return finish(exchange, &asked, deadline_ms);
}

enum cyrus_step cyrus_continue(struct cyrus_exchange *exchange, struct str response,
                               int64_t deadline_ms)
{
    struct cyrus_client *client = exchange->client;
    struct cyrus_question asked;

    if (client->asker.channel == NULL) {
        exchange->text = STR("Connection lost to authentication server");
        return CYRUS_FAILS;
    }
    question_begin(client, &asked, exchange->query, exchange->arena);
    wire_send_sasl_continue(
        client->asker.channel,
        &(struct wire_sasl_continue){ .query = exchange->query, .response = response });
    return finish(exchange, &asked, deadline_ms);
}

void cyrus_end(struct cyrus_exchange *exchange)
{
    if (exchange->client->asker.channel != NULL)
        wire_send_sasl_end(exchange->client->asker.channel,
                           &(struct wire_sasl_end){ .query = exchange->query });
}
