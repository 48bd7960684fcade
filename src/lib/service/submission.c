/* SPDX-License-Identifier: Apache-2.0 */
#include "service/submission.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "wire/wire.h"

_Static_assert((int)SUBMISSION_INLINE_MAX <= (int)STORE_INLINE_MAX, "what the store takes whole");

enum {
    LEASE_COUNT = 64,              /* ids in one block */
    LEASE_LOW_COUNT = 16,          /* ask for the next block when no more than this is left */
    LEASE_BLOCKS = 2,              /* blocks in stock: the one in use and the next */
    LEASE_LIFETIME_MS = 10 * 1000, /* an id also tells roughly when the mail came: old ones go */
};

struct lease {
    uint64_t next_id;
    uint32_t count;
    int64_t expires_ms;
};

/* The channel to one life of the queue role. It stays while fibers wait in it for room. */
struct link {
    struct channel *channel;
    unsigned waiters;
    bool is_over;
};

struct submission {
    struct loop *loop;
    struct link *link;   /* NULL while there is no queue role */
    uint64_t generation; /* counts links */
    uint32_t worker;     /* of the queue at the other end of the last one */
    uint64_t leased_end; /* beyond every id that was leased to us */
    uint64_t void_below; /* ids that the queue does not take from us any more */
    uint64_t next_transaction;
    struct map *open; /* transaction number -> struct submission_message in submission_finish */
    struct list id_waiters;
    struct lease leases[LEASE_BLOCKS]; /* the first is in use */
    bool is_lease_asked;
    bool is_shut;
    struct submission_reply gate_reply;
};

struct id_waiter {
    struct list link;
    struct fiber *fiber;
};

static struct str transaction_key(const uint64_t *transaction)
{
    return str_of((const char *)transaction, sizeof(*transaction));
}

/* ---- answers ---- */

/* Cut to what fits; what is not printable becomes '?'. */
static void copy_text(struct str text, char *copy, size_t size_bytes)
{
    size_t len = text.len < size_bytes ? text.len : size_bytes - 1;

    for (size_t i = 0; i < len; i++)
        copy[i] = ascii_is_print(text.ptr[i]) ? text.ptr[i] : '?';
    copy[len] = '\0';
}

static void reply_fill(struct submission_reply *reply, uint32_t code, struct str enhanced,
                       struct str text)
{
    /* The queue is trusted to refuse, not to make smtpd speak nonsense. */
    reply->code = code >= 400 && code <= 599 ? code : 451;
    copy_text(enhanced, reply->enhanced, sizeof(reply->enhanced));
    copy_text(text, reply->text, sizeof(reply->text));
    for (const char *byte = reply->enhanced; *byte != '\0'; byte++) {
        if (!ascii_is_digit(*byte) && *byte != '.')
            reply->enhanced[0] = '\0';
    }
    if (reply->enhanced[0] == '\0')
        copy_text(reply->code >= 500 ? STR("5.3.0") : STR("4.3.0"), reply->enhanced,
                  sizeof(reply->enhanced));
}

static void message_answer(struct submission_message *message, enum submission_outcome outcome)
{
    struct submission *submission = message->submission;

    (void)map_remove(submission->open, transaction_key(&message->transaction));
    message->answer = outcome;
    if (message->waiter != NULL)
        fiber_wake(message->waiter);
}

static struct submission_message *message_find(struct submission *submission, uint64_t transaction)
{
    return map_find(submission->open, transaction_key(&transaction));
}

static bool on_leased(struct submission *submission, struct channel *channel, struct str payload)
{
    struct wire_submit_leased leased;

    if (!wire_decode_submit_leased(channel, payload, &leased) || leased.count == 0 ||
        leased.first_queue_id > UINT64_MAX - leased.count)
        return false;
    submission->is_lease_asked = false;
    struct lease *lease = &submission->leases[submission->leases[0].count == 0 ? 0 : 1];
    lease->next_id = leased.first_queue_id;
    lease->count = leased.count;
    lease->expires_ms = clock_monotonic_ms() + LEASE_LIFETIME_MS;
    submission->leased_end = leased.first_queue_id + leased.count;
    list_each (link, &submission->id_waiters)
        fiber_wake(list_entry(link, struct id_waiter, link)->fiber);
    return true;
}

static bool on_accepted(struct submission *submission, struct channel *channel, struct str payload)
{
    struct wire_submit_accepted accepted;

    if (!wire_decode_submit_accepted(channel, payload, &accepted))
        return false;
    struct submission_message *message = message_find(submission, accepted.transaction);
    if (message != NULL)
        message_answer(message, SUBMISSION_ACCEPTED);
    return true;
}

static bool on_refused(struct submission *submission, struct channel *channel, struct str payload)
{
    struct wire_submit_refused refused;

    if (!wire_decode_submit_refused(channel, payload, &refused))
        return false;
    struct submission_message *message = message_find(submission, refused.transaction);
    if (message != NULL) {
        reply_fill(&message->reply, refused.code, refused.enhanced, refused.text);
        message_answer(message, SUBMISSION_REFUSED);
    }
    return true;
}

static bool on_gate(struct submission *submission, struct channel *channel, struct str payload)
{
    struct wire_submit_gate gate;

    if (!wire_decode_submit_gate(channel, payload, &gate))
        return false;
    submission->is_shut = !gate.is_open;
    if (submission->is_shut)
        reply_fill(&submission->gate_reply, gate.code, gate.enhanced, gate.text);
    return true;
}

static bool received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    switch (number) {
    case WIRE_submit_leased:
        return on_leased(owner, channel, payload);
    case WIRE_submit_accepted:
        return on_accepted(owner, channel, payload);
    case WIRE_submit_refused:
        return on_refused(owner, channel, payload);
    case WIRE_submit_gate:
        return on_gate(owner, channel, payload);
    default:
        return false;
    }
}

/* ---- the channel's life ---- */

static void link_free_if_unused(struct link *link)
{
    if (!link->is_over || link->waiters > 0)
        return;
    channel_free(&link->channel);
    memory_free(link);
}

/* Nothing that was sent and not answered counts as accepted. Ids already leased stay good for the
 * next queue: this one made them durable before it gave them away. */
static void detach(struct submission *submission)
{
    struct map_cursor cursor = { 0 };

    if (submission->link == NULL)
        return;
    submission->link->is_over = true;
    link_free_if_unused(submission->link);
    submission->link = NULL;
    submission->is_lease_asked = false;
    submission->is_shut = false;
    while (map_next(submission->open, &cursor)) {
        message_answer(cursor.value, SUBMISSION_LOST);
        cursor = (struct map_cursor){ 0 };
    }
}

static void closed(void *owner, struct channel *channel, const char *reason)
{
    struct submission *submission = owner;

    (void)reason; /* the master reports the end of a role */
    if (submission->link != NULL && submission->link->channel == channel)
        detach(submission);
}

static const struct channel_events events = { .received = received, .closed = closed };

static void lease_ask(struct submission *submission)
{
    if (submission->link == NULL || submission->is_lease_asked)
        return;
    submission->is_lease_asked = true;
    wire_send_submit_lease(submission->link->channel,
                           &(struct wire_submit_lease){ .count = LEASE_COUNT });
}

struct submission *submission_new(struct loop *loop)
{
    struct submission *submission = memory_new(sizeof(*submission));

    submission->loop = loop;
    submission->open = map_new();
    list_init(&submission->id_waiters);
    return submission;
}

void submission_free(struct submission **submission)
{
    if (*submission == NULL)
        return;
    detach(*submission);
    ensure(list_is_empty(&(*submission)->id_waiters));
    map_free(&(*submission)->open);
    memory_free(*submission);
    *submission = NULL;
}

/* The queue remembers by the channel who may use which ids. Only a queue that came later takes
 * those of the time before it from everybody. */
static void drop_leases(struct submission *submission)
{
    memset(submission->leases, 0, sizeof submission->leases);
    submission->void_below = submission->leased_end;
}

bool submission_attach(struct submission *submission, uint32_t worker, int fd, struct error *error)
{
    struct channel *channel = channel_new(submission->loop, fd, &events, submission, error);

    if (channel == NULL)
        return false;
    detach(submission);
    submission->link = memory_new(sizeof(*submission->link));
    submission->link->channel = channel;
    submission->generation++;
    if (worker == submission->worker)
        drop_leases(submission);
    submission->worker = worker;
    lease_ask(submission);
    return true;
}

bool submission_flush(struct submission *submission, struct str site)
{
    if (submission->link == NULL)
        return false;
    wire_send_submit_flush(submission->link->channel, &(struct wire_submit_flush){ .site = site });
    return true;
}

bool submission_is_open(const struct submission *submission, struct submission_reply *reply)
{
    if (submission->is_shut && reply != NULL)
        *reply = submission->gate_reply;
    return !submission->is_shut;
}

/* ---- queue ids ---- */

static void lease_drop_first(struct lease *leases)
{
    leases[0] = leases[1];
    leases[1] = (struct lease){ 0 };
}

static bool lease_take(struct submission *submission, uint64_t *queue_id)
{
    struct lease *leases = submission->leases;
    int64_t now_ms = loop_now_ms(submission->loop);

    while (leases[0].count > 0 && now_ms > leases[0].expires_ms)
        lease_drop_first(leases);
    if (leases[0].count == 0)
        return false;
    *queue_id = leases[0].next_id++;
    if (--leases[0].count == 0)
        lease_drop_first(leases);
    return true;
}

static void lease_refill(struct submission *submission)
{
    if (submission->leases[0].count <= LEASE_LOW_COUNT && submission->leases[1].count == 0)
        lease_ask(submission);
}

bool submission_take_id(struct submission *submission, int64_t deadline_ms, uint64_t *queue_id)
{
    struct id_waiter waiter = { .fiber = fiber_current(submission->loop) };
    enum wake wake = WAKE_READY;
    bool is_taken = lease_take(submission, queue_id);

    if (!is_taken) {
        list_append(&submission->id_waiters, &waiter.link);
        do {
            lease_refill(submission);
            wake = fiber_wait(submission->loop, "a queue id", deadline_ms);
            is_taken = wake == WAKE_READY && lease_take(submission, queue_id);
        } while (!is_taken && wake == WAKE_READY);
        list_remove(&waiter.link);
    }
    lease_refill(submission);
    return is_taken;
}

/* ---- one message ---- */

void submission_begin(struct submission *submission, uint64_t queue_id,
                      struct submission_message *message)
{
    *message = (struct submission_message){
        .submission = submission,
        .queue_id = queue_id,
        .transaction = ++submission->next_transaction,
        .generation = submission->generation,
    };
}

/* The channel that took this message's chunks, where it is still there. */
static struct channel *message_channel(const struct submission_message *message)
{
    const struct submission *submission = message->submission;

    if (submission->link == NULL || channel_is_closed(submission->link->channel) ||
        message->queue_id < submission->void_below ||
        (message->has_chunks && message->generation != submission->generation))
        return NULL;
    return submission->link->channel;
}

static bool wait_room(struct link *link, int64_t deadline_ms)
{
    if (channel_unsent_bytes(link->channel) < CHANNEL_ROOM_BYTES)
        return true;
    link->waiters++;
    bool has_room = channel_wait_room(link->channel, deadline_ms) == WAKE_READY;
    link->waiters--;
    link_free_if_unused(link);
    return has_room;
}

void submission_send_notice(struct submission *submission, struct str recipient, struct str content)
{
    if (submission->link == NULL || submission->link->is_over)
        return;
    wire_send_submit_notice(
        submission->link->channel,
        &(struct wire_submit_notice){ .recipient = recipient, .content = content });
}

bool submission_send(struct submission_message *message, struct str chunk, int64_t deadline_ms)
{
    struct submission *submission = message->submission;

    ensure(chunk.len == SUBMISSION_CHUNK_BYTES);
    if (message_channel(message) == NULL)
        return false;
    message->generation = submission->generation;
    message->has_chunks = true;
    if (!wait_room(submission->link, deadline_ms))
        return false;
    struct channel *channel = message_channel(message);
    if (channel == NULL)
        return false;
    wire_send_submit_chunk(channel,
                           &(struct wire_submit_chunk){ .transaction = message->transaction,
                                                        .queue_id = message->queue_id,
                                                        .content = chunk });
    return true;
}

enum submission_outcome submission_finish(struct submission_message *message, struct str envelope,
                                          struct str content, int64_t deadline_ms)
{
    struct submission *submission = message->submission;

    ensure(content.len <= SUBMISSION_INLINE_MAX);
    struct channel *channel = message_channel(message);
    if (channel == NULL) {
        message->submission = NULL;
        return SUBMISSION_LOST;
    }
    message->waiter = fiber_current(submission->loop);
    (void)map_set(submission->open, transaction_key(&message->transaction), message);
    wire_send_submit_message(channel,
                             &(struct wire_submit_message){ .transaction = message->transaction,
                                                            .queue_id = message->queue_id,
                                                            .envelope = envelope,
                                                            .content = content });
    while (message->answer == 0) {
        if (fiber_wait(submission->loop, "the queue's commit", deadline_ms) != WAKE_READY &&
            message->answer == 0) {
            message->waiter = NULL;
            message_answer(message, SUBMISSION_LOST);
        }
    }
    message->submission = NULL;
    return (enum submission_outcome)message->answer;
}

void submission_abort(struct submission_message *message)
{
    if (message->submission == NULL)
        return;
    struct channel *channel = message_channel(message);
    if (channel != NULL && message->has_chunks)
        wire_send_submit_abort(channel,
                               &(struct wire_submit_abort){ .transaction = message->transaction });
    message->submission = NULL;
}
