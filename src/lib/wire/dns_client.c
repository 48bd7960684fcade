/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dns.h"

#include "base/list.h"
#include "base/memory.h"
#include "wire/asker.h"
#include "wire/wire.h"

struct dns_client {
    struct asker asker;
};

struct dns_question {
    struct question question;
    enum dns_type type;
    bool is_validated;
    struct str name;
    struct arena *arena;
    struct dns_answer *answer;
};

static void send_question(struct channel *channel, struct question *question)
{
    const struct dns_question *asked = list_entry(question, struct dns_question, question);
    struct wire_resolve_query message = { .query = question->id,
                                          .type = asked->type,
                                          .is_validated = asked->is_validated,
                                          .name = asked->name };

    wire_send_resolve_query(channel, &message);
}

static bool outcome_is_known(uint8_t outcome)
{
    return outcome >= DNS_FOUND && outcome <= DNS_BAD_NAME;
}

static bool fill_answer(struct dns_question *question, const struct wire_resolve_answer *message)
{
    struct dns_answer *answer = question->answer;

    if (!outcome_is_known(message->outcome) ||
        !dns_records_decode(question->arena, message->records, answer))
        return false;
    answer->outcome = (enum dns_outcome)message->outcome;
    answer->is_secure = message->is_secure != 0;
    answer->ttl_s = message->ttl_s;
    answer->canonical_name = arena_copy(question->arena, message->canonical_name);
    answer->reason = arena_copy(question->arena, message->reason);
    return true;
}

static bool answer_received(void *owner, struct channel *channel, uint16_t number,
                            struct str payload)
{
    struct wire_resolve_answer message;

    if (number != WIRE_resolve_answer || !wire_decode_resolve_answer(channel, payload, &message))
        return false;
    struct question *found = asker_find(owner, message.query);
    if (found == NULL)
        return true;
    if (!fill_answer(list_entry(found, struct dns_question, question), &message))
        return false;
    asker_answered(found);
    return true;
}

struct dns_client *dns_client_new(struct loop *loop)
{
    struct dns_client *client = memory_new(sizeof *client);

    asker_init(&client->asker, &(struct asker_options){ .loop = loop,
                                                        .peer = "the resolver",
                                                        .received = answer_received,
                                                        .send = send_question });
    return client;
}

void dns_client_free(struct dns_client **client)
{
    if (*client == NULL)
        return;
    asker_clear(&(*client)->asker);
    memory_free(*client);
    *client = NULL;
}

bool dns_client_attach(struct dns_client *client, int fd, struct error *error)
{
    return asker_attach(&client->asker, fd, error);
}

/* The caller has filled in what is asked. */
static void ask(struct dns_client *client, struct dns_question *asked, int64_t deadline_ms)
{
    *asked->answer = (struct dns_answer){ 0 };
    if (!dns_name_is_valid(asked->name)) {
        asked->answer->outcome = DNS_BAD_NAME;
        asked->answer->reason = STR("Malformed domain name");
        return;
    }
    if (!asker_ask(&client->asker, &asked->question, "an answer of the resolver", deadline_ms))
        *asked->answer = (struct dns_answer){ .outcome = DNS_TRY_AGAIN,
                                              .reason = STR("Host not found, try again") };
}

void dns_query(struct dns_client *client, struct arena *arena, enum dns_type type, struct str name,
               int64_t deadline_ms, struct dns_answer *answer)
{
    struct dns_question question = { .type = type, .name = name, .arena = arena, .answer = answer };

    ask(client, &question, deadline_ms);
}

void dns_query_validated(struct dns_client *client, struct arena *arena, enum dns_type type,
                         struct str name, int64_t deadline_ms, struct dns_answer *answer)
{
    struct dns_question question = {
        .type = type, .is_validated = true, .name = name, .arena = arena, .answer = answer
    };

    ask(client, &question, deadline_ms);
}

void dns_query_address(struct dns_client *client, struct arena *arena,
                       const struct net_address *address, int64_t deadline_ms,
                       struct dns_answer *answer)
{
    autofree_buf struct buf name = { 0 };

    if (!dns_reverse_name(address, &name)) {
        *answer = (struct dns_answer){ .outcome = DNS_BAD_NAME,
                                       .reason = STR("Address has no reverse name") };
        return;
    }
    dns_query(client, arena, DNS_PTR, buf_str(&name), deadline_ms, answer);
}
