/* SPDX-License-Identifier: Apache-2.0 */
#include "service/cyrus.h"

#include "base/list.h"
#include "base/memory.h"
#include "wire/asker.h"
#include "wire/wire.h"

enum { SUCCESSOR_MS = 2000 }; /* by then one that ended has one, or it cannot start */

struct cyrus_client {
    struct asker asker;
};

struct cyrus_question {
    struct question question;            /* its number is the exchange's */
    const struct cyrus_request *request; /* begins an exchange; NULL: */
    const struct str *response;          /* goes on with one; NULL: wants the mechanisms */
    struct arena *arena;
    enum cyrus_step step;
    struct str text, user;
};

static void send_start(struct channel *channel, uint64_t query, const struct cyrus_request *request)
{
    wire_send_sasl_start(channel, &(struct wire_sasl_start){ .query = query,
                                                             .service = request->service,
                                                             .host = request->host,
                                                             .realm = request->realm,
                                                             .mechanism = request->mechanism,
                                                             .has_initial = request->has_initial,
                                                             .initial = request->initial });
}

static void send_question(struct channel *channel, struct question *question)
{
    const struct cyrus_question *asked = list_entry(question, struct cyrus_question, question);

    if (asked->request != NULL)
        send_start(channel, question->id, asked->request);
    else if (asked->response != NULL)
        wire_send_sasl_continue(channel, &(struct wire_sasl_continue){
                                             .query = question->id, .response = *asked->response });
    else
        wire_send_sasl_list(channel, &(struct wire_sasl_list){ .query = question->id });
}

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

    asker_init(&client->asker, &(struct asker_options){ .loop = loop,
                                                        .peer = "sasl",
                                                        .received = answer_received,
                                                        .send = send_question });
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

static bool ask(struct cyrus_client *client, struct cyrus_question *asked, int64_t deadline_ms)
{
    return asker_ask(&client->asker, &asked->question, "an answer of SASL", deadline_ms);
}

bool cyrus_mechanisms(struct cyrus_client *client, struct arena *arena, int64_t deadline_ms,
                      struct str *names)
{
    struct cyrus_question asked = { .arena = arena };
    int64_t successor_ms = loop_now_ms(client->asker.loop) + SUCCESSOR_MS;

    if (asker_channel(&client->asker) == NULL && successor_ms < deadline_ms)
        deadline_ms = successor_ms;
    if (!ask(client, &asked, deadline_ms))
        return false;
    *names = asked.text;
    return true;
}

static enum cyrus_step step(struct cyrus_exchange *exchange, struct cyrus_question *asked,
                            int64_t deadline_ms)
{
    bool is_answered = ask(exchange->client, asked, deadline_ms);

    exchange->query = asked->question.id;
    exchange->peer = asked->question.peer;
    if (!is_answered) {
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
    struct cyrus_question asked = { .request = request, .arena = arena };

    *exchange = (struct cyrus_exchange){ .client = client, .arena = arena };
    return step(exchange, &asked, deadline_ms);
}

enum cyrus_step cyrus_continue(struct cyrus_exchange *exchange, struct str response,
                               int64_t deadline_ms)
{
    struct cyrus_question asked = { .question = { .id = exchange->query, .peer = exchange->peer },
                                    .response = &response,
                                    .arena = exchange->arena };

    return step(exchange, &asked, deadline_ms);
}

void cyrus_end(struct cyrus_exchange *exchange)
{
    struct channel *channel = asker_channel_of(&exchange->client->asker, exchange->peer);

    if (channel != NULL)
        wire_send_sasl_end(channel, &(struct wire_sasl_end){ .query = exchange->query });
}
