/* SPDX-License-Identifier: Apache-2.0 */
#include "service/verify.h"

#include "base/list.h"
#include "base/memory.h"
#include "wire/asker.h"
#include "wire/wire.h"

struct verify_client {
    struct asker asker;
};

struct verify_question {
    struct question question;
    struct str address;
    struct arena *arena;
    enum verify_status status;
    struct str reason;
};

static void send_question(struct channel *channel, struct question *question)
{
    const struct verify_question *asked = list_entry(question, struct verify_question, question);

    wire_send_verify_query(
        channel, &(struct wire_verify_query){ .query = question->id, .address = asked->address });
}

static bool answer_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct wire_verify_answer message;

    if (number != WIRE_verify_answer || !wire_decode_verify_answer(channel, payload, &message) ||
        message.status > VERIFY_UNKNOWN)
        return false;
    struct question *found = asker_find(owner, message.query);
    if (found == NULL)
        return true;
    struct verify_question *asked = list_entry(found, struct verify_question, question);
    asked->status = (enum verify_status)message.status;
    asked->reason = arena_copy(asked->arena, message.reason);
    asker_answered(found);
    return true;
}

struct verify_client *verify_client_new(struct loop *loop)
{
    struct verify_client *client = memory_new(sizeof *client);

    asker_init(&client->asker, &(struct asker_options){ .loop = loop,
                                                        .peer = "verify",
                                                        .received = answer_received,
                                                        .send = send_question });
    return client;
}

void verify_client_free(struct verify_client **client)
{
    if (*client == NULL)
        return;
    asker_clear(&(*client)->asker);
    memory_free(*client);
    *client = NULL;
}

bool verify_client_attach(struct verify_client *client, int fd, struct error *error)
{
    return asker_attach(&client->asker, fd, error);
}

bool verify_ask(struct verify_client *client, struct str address, int64_t deadline_ms,
                struct arena *arena, enum verify_status *status, struct str *reason)
{
    struct verify_question asked = { .address = address, .arena = arena };
    bool is_answered = asker_ask(&client->asker, &asked.question, "verify's answer", deadline_ms);

    *status = asked.status;
    *reason = asked.reason;
    return is_answered;
}
