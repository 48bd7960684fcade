/* SPDX-License-Identifier: Apache-2.0 */
#include "service/anvil.h"

#include "base/list.h"
#include "base/memory.h"
#include "wire/asker.h"
#include "wire/wire.h"

struct anvil_client {
    struct asker asker;
};

struct anvil_question {
    struct question question;
    enum anvil_event event;
    bool only_looks;
    struct str who;
    struct anvil_counts *counts;
};

static void send_question(struct channel *channel, struct question *question)
{
    const struct anvil_question *asked = list_entry(question, struct anvil_question, question);

    wire_send_anvil_count(channel, &(struct wire_anvil_count){ .query = question->id,
                                                               .event = (uint8_t)asked->event,
                                                               .is_question = asked->only_looks,
                                                               .client = asked->who });
}

static bool answer_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct wire_anvil_counted message;

    if (number != WIRE_anvil_counted || !wire_decode_anvil_counted(channel, payload, &message))
        return false;
    struct question *found = asker_find(owner, message.query);
    if (found == NULL)
        return true;
    *list_entry(found, struct anvil_question, question)->counts =
        (struct anvil_counts){ message.connections, message.rate };
    asker_answered(found);
    return true;
}

struct anvil_client *anvil_client_new(struct loop *loop)
{
    struct anvil_client *client = memory_new(sizeof *client);

    asker_init(&client->asker, &(struct asker_options){ .loop = loop,
                                                        .peer = "anvil",
                                                        .received = answer_received,
                                                        .send = send_question });
    return client;
}

void anvil_client_free(struct anvil_client **client)
{
    if (*client == NULL)
        return;
    asker_clear(&(*client)->asker);
    memory_free(*client);
    *client = NULL;
}

bool anvil_client_attach(struct anvil_client *client, int fd, struct error *error)
{
    return asker_attach(&client->asker, fd, error);
}

/* Where nobody answers, who waits goes on without a limit. */
static bool ask(struct anvil_client *client, struct anvil_question *asked, int64_t deadline_ms)
{
    return asker_channel(&client->asker) != NULL &&
           asker_ask(&client->asker, &asked->question, "anvil's count", deadline_ms);
}

bool anvil_count(struct anvil_client *client, enum anvil_event event, struct str who,
                 int64_t deadline_ms, struct anvil_counts *counts)
{
    struct anvil_question asked = { .event = event, .who = who, .counts = counts };

    return ask(client, &asked, deadline_ms);
}

bool anvil_look(struct anvil_client *client, enum anvil_event event, struct str who,
                int64_t deadline_ms, struct anvil_counts *counts)
{
    struct anvil_question asked = {
        .event = event, .only_looks = true, .who = who, .counts = counts
    };

    return ask(client, &asked, deadline_ms);
}

void anvil_end(struct anvil_client *client, struct str who)
{
    struct channel *channel = asker_channel(&client->asker);

    if (channel != NULL)
        wire_send_anvil_ended(channel, &(struct wire_anvil_ended){ .client = who });
}
