/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/asker.h"

#include "base/ensure.h"

static struct str question_key(const uint64_t *id)
{
    return str_of((const char *)id, sizeof *id);
}

static void lose_questions(struct asker *asker)
{
    struct map_cursor cursor = { 0 };

    while (map_next(asker->questions, &cursor)) {
        struct question *question = cursor.value;
        question->is_lost = true;
        fiber_wake(question->fiber);
    }
}

static void ask_again(struct asker *asker)
{
    struct map_cursor cursor = { 0 };

    while (map_next(asker->questions, &cursor)) {
        struct question *question = cursor.value;
        if (!question->is_answered)
            asker->ask_again(asker, question);
    }
}

static void peer_closed(void *owner, struct channel *channel, const char *reason)
{
    struct asker *asker = owner;

    (void)reason; /* the master logs why it ended, and sends a channel to the next one */
    if (asker->channel != channel)
        return;
    channel_free(&asker->channel);
    if (asker->ask_again == NULL)
        lose_questions(asker);
}

void asker_init(struct asker *asker, const struct asker_options *options)
{
    *asker = (struct asker){
        .loop = options->loop,
        .peer = options->peer,
        .events = { .received = options->received, .closed = peer_closed },
        .ask_again = options->ask_again,
        .questions = map_new(),
    };
}

void asker_clear(struct asker *asker)
{
    ensure(map_count(asker->questions) == 0);
    if (asker->channel != NULL)
        channel_free(&asker->channel);
    map_free(&asker->questions);
}

bool asker_attach(struct asker *asker, int fd, struct error *error)
{
    struct channel *channel = channel_new(asker->loop, fd, &asker->events, asker, error);

    if (channel == NULL)
        return error_context(error, "channel to %s", asker->peer);
    if (asker->channel != NULL)
        channel_free(&asker->channel);
    asker->channel = channel;
    if (asker->ask_again == NULL)
        lose_questions(asker);
    else
        ask_again(asker);
    return true;
}

void asker_begin(struct asker *asker, struct question *question)
{
    if (question->id == 0)
        question->id = ++asker->last_id;
    question->fiber = fiber_current(asker->loop);
    map_set(asker->questions, question_key(&question->id), question);
}

bool asker_wait(struct asker *asker, struct question *question, const char *what,
                int64_t deadline_ms)
{
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
