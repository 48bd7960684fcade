/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dns.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "wire/wire.h"

/* Lives on the stack of the fiber that asks; the fiber takes it off the client before it leaves. */
struct question {
    uint64_t id;
    enum dns_type type;
    bool is_validated;
    struct str name;
    struct fiber *fiber;
    struct arena *arena;
    struct dns_answer *answer;
    bool is_answered;
};

struct dns_client {
    struct loop *loop;
    struct channel *channel; /* NULL while there is no resolver */
    struct map *questions;   /* by id */
    uint64_t last_id;
};

static struct str question_key(const uint64_t *id)
{
    return str_of((const char *)id, sizeof *id);
}

static void send_question(struct dns_client *client, const struct question *question)
{
    struct wire_resolve_query message = { .query = question->id,
                                          .type = question->type,
                                          .is_validated = question->is_validated,
                                          .name = question->name };

    wire_send_resolve_query(client->channel, &message);
}

static bool outcome_is_known(uint8_t outcome)
{
    return outcome >= DNS_FOUND && outcome <= DNS_BAD_NAME;
}

static bool fill_answer(struct question *question, const struct wire_resolve_answer *message)
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
    struct dns_client *client = owner;
    struct wire_resolve_answer message;
    struct question *question;

    if (number != WIRE_resolve_answer || !wire_decode_resolve_answer(channel, payload, &message))
        return false;
    question = map_find(client->questions, question_key(&message.query));
    if (question == NULL || question->is_answered)
        return true; /* given up meanwhile */
    if (!fill_answer(question, &message))
        return false;
    question->is_answered = true;
    fiber_wake(question->fiber);
    return true;
}

static void resolver_closed(void *owner, struct channel *channel, const char *reason)
{
    struct dns_client *client = owner;

    (void)reason; /* the master logs why the resolver ended, and sends a channel to the next one */
    if (client->channel == channel)
        channel_free(&client->channel);
}

static const struct channel_events client_events = { .received = answer_received,
                                                     .closed = resolver_closed };

struct dns_client *dns_client_new(struct loop *loop)
{
    struct dns_client *client = memory_new(sizeof *client);

    client->loop = loop;
    client->questions = map_new();
    return client;
}

void dns_client_free(struct dns_client **client)
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

bool dns_client_attach(struct dns_client *client, int fd, struct error *error)
{
    struct channel *channel = channel_new(client->loop, fd, &client_events, client, error);
    struct map_cursor cursor = { 0 };

    if (channel == NULL)
        return error_context(error, "channel to the resolver");
    if (client->channel != NULL)
        channel_free(&client->channel);
    client->channel = channel;
    while (map_next(client->questions, &cursor)) {
        const struct question *question = cursor.value;
        if (!question->is_answered)
            send_question(client, question);
    }
    return true;
}

static void wait_for_answer(struct dns_client *client, struct question *question,
                            int64_t deadline_ms)
{
    map_set(client->questions, question_key(&question->id), question);
    if (client->channel != NULL)
        send_question(client, question);
    while (!question->is_answered &&
           fiber_wait(client->loop, "an answer of the resolver", deadline_ms) == WAKE_READY)
        continue;
    map_remove(client->questions, question_key(&question->id));
}

/* The caller has filled in what is asked. */
static void ask(struct dns_client *client, struct question *question, int64_t deadline_ms)
{
    question->id = ++client->last_id;
    question->fiber = fiber_current(client->loop);
    *question->answer = (struct dns_answer){ 0 };
    if (!dns_name_is_valid(question->name)) {
        question->answer->outcome = DNS_BAD_NAME;
        question->answer->reason = STR("Malformed domain name");
        return;
    }
    wait_for_answer(client, question, deadline_ms);
    if (!question->is_answered) {
        *question->answer = (struct dns_answer){ .outcome = DNS_TRY_AGAIN,
                                                 .reason = STR("Host not found, try again") };
    }
}

void dns_query(struct dns_client *client, struct arena *arena, enum dns_type type, struct str name,
               int64_t deadline_ms, struct dns_answer *answer)
{
    struct question question = { .type = type, .name = name, .arena = arena, .answer = answer };

    ask(client, &question, deadline_ms);
}

void dns_query_validated(struct dns_client *client, struct arena *arena, enum dns_type type,
                         struct str name, int64_t deadline_ms, struct dns_answer *answer)
{
    struct question question = {
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
