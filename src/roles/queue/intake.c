/* SPDX-License-Identifier: Apache-2.0 */
#include "intake.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/memory.h"
#include "leased_ids.h"
#include "queue.h"
#include "retry.h"
#include "wire/wire.h"

enum {
    LEASE_COUNT_MAX = LEASED_BLOCK_IDS,
    LEASES_WAITING_MAX = 64,
    TRANSACTIONS_MAX = 100000,
    UNCOMMITTED_HIGH_BYTES = 8 * 1024 * 1024, /* then we stop reading from the peer */
    UNCOMMITTED_LOW_BYTES = 4 * 1024 * 1024,
    RECIPIENTS_MAX = 1000000,
    /* Longer than any that smtpd lets in; so an envelope's part always fits a frame. */
    TEXT_BYTES_MAX = 2048,
};

struct submitter {
    struct queue *queue;
    struct list link;
    struct channel *channel; /* NULL: gone, what is on its way to the disk ends without an answer */
    struct leased_ids ids;
    struct map *transactions; /* by number: those with chunks, or waiting for the disk */
    uint32_t leases_waiting[LEASES_WAITING_MAX];
    size_t lease_count;
    size_t uncommitted_bytes;
    size_t references; /* requests that are with the committer */
    bool is_paused;
};

/* One submission from its first chunk (or its message, when it is small) to its answer. */
struct transaction {
    struct submitter *submitter;
    uint64_t number;
    uint64_t queue_id;
    struct chunk *open_chunk; /* being filled */
    uint32_t chunk_count;     /* handed to the committer */
    uint32_t chunks_on_way;
    enum store_outcome outcome; /* of the chunks so far */
    struct message *message;    /* once submit_message came */
    struct buf content;         /* that goes with the message */
    bool is_aborted;
};

struct chunk {
    struct commit_request request;
    struct transaction *transaction;
    size_t len;
    char bytes[STORE_CHUNK_BYTES];
};

static struct str number_key(const uint64_t *number)
{
    return str_of((const char *)number, sizeof *number);
}

static void submitter_release(struct submitter *submitter)
{
    if (submitter->channel != NULL || submitter->references > 0)
        return;
    ensure(map_count(submitter->transactions) == 0);
    list_remove(&submitter->link);
    map_free(&submitter->transactions);
    leased_ids_clear(&submitter->ids);
    memory_free(submitter);
}

/* ---- back-pressure ---- */

static void count_uncommitted(struct submitter *submitter, size_t bytes)
{
    submitter->uncommitted_bytes += bytes;
    submitter->references++;
    if (!submitter->is_paused && submitter->channel != NULL &&
        submitter->uncommitted_bytes > UNCOMMITTED_HIGH_BYTES) {
        submitter->is_paused = true;
        channel_pause(submitter->channel);
    }
}

/* The caller calls submitter_release when it no longer needs the submitter. */
static void count_committed(struct submitter *submitter, size_t bytes)
{
    submitter->uncommitted_bytes -= bytes;
    submitter->references--;
    if (submitter->is_paused && submitter->channel != NULL &&
        submitter->uncommitted_bytes < UNCOMMITTED_LOW_BYTES) {
        submitter->is_paused = false;
        channel_resume(submitter->channel);
    }
}

/* ---- answers ---- */

static void refuse(struct submitter *submitter, uint64_t number, enum store_outcome outcome)
{
    struct wire_submit_refused refused = {
        .transaction = number,
        .code = 451,
        .enhanced = STR("4.3.0"),
        .text = STR("Error: queue file write error"),
    };

    if (outcome == STORE_FULL) {
        refused.code = 452;
        refused.enhanced = STR("4.3.1");
        refused.text = STR("Insufficient system storage");
    }
    submitter->queue->intake.refused_total++;
    if (submitter->channel != NULL)
        wire_send_submit_refused(submitter->channel, &refused);
}

static void send_gate(struct submitter *submitter, bool is_open)
{
    wire_send_submit_gate(submitter->channel,
                          &(struct wire_submit_gate){
                              .is_open = is_open,
                              .code = is_open ? 0 : 452,
                              .enhanced = is_open ? STR("") : STR("4.3.1"),
                              .text = is_open ? STR("") : STR("Insufficient system storage"),
                          });
}

/* ---- a transaction ---- */

struct drop {
    struct commit_request request;
};

static void drop_done(struct commit_request *request)
{
    memory_free(list_entry(request, struct drop, request));
}

static void drop_chunks(struct queue *queue, uint64_t queue_id, uint32_t count)
{
    struct drop *drop = memory_new(sizeof *drop);

    drop->request = (struct commit_request){
        .kind = COMMIT_DROP_CHUNKS,
        .queue_id = queue_id,
        .chunk = count,
        .may_use_reserve = true,
        .done = drop_done,
    };
    committer_submit(queue->committer, &drop->request);
}

static struct transaction *transaction_new(struct submitter *submitter, uint64_t number,
                                           uint64_t queue_id)
{
    struct transaction *transaction = memory_new(sizeof *transaction);

    transaction->submitter = submitter;
    transaction->number = number;
    transaction->queue_id = queue_id;
    map_set(submitter->transactions, number_key(&number), transaction);
    return transaction;
}

/* It ends without having become a message; nothing of it is with the committer. */
static void transaction_discard(struct transaction *transaction)
{
    struct submitter *submitter = transaction->submitter;

    if (transaction->chunk_count > 0)
        drop_chunks(submitter->queue, transaction->queue_id, transaction->chunk_count);
    map_remove(submitter->transactions, number_key(&transaction->number));
    memory_free(transaction->open_chunk);
    buf_free(&transaction->content);
    message_free(&transaction->message);
    memory_free(transaction);
}

static void message_done(struct commit_request *request)
{
    struct message *message = list_entry(request, struct message, request);
    struct transaction *transaction = message->arrival;
    struct submitter *submitter = transaction->submitter;
    struct queue *queue = message->queue;

    message->is_committing = false;
    count_committed(submitter, transaction->content.len);
    if (request->outcome != STORE_OK) {
        refuse(submitter, transaction->number, request->outcome);
        if (request->outcome == STORE_FULL)
            intake_set_gate(queue, false);
        transaction_discard(transaction);
        submitter_release(submitter);
        return;
    }
    if (submitter->channel != NULL)
        wire_send_submit_accepted(submitter->channel, &(struct wire_submit_accepted){
                                                          .transaction = transaction->number });
    queue->intake.accepted_total++;
    bool is_held = (message->envelope.flags & ENVELOPE_HELD) != 0;
    if (transaction->chunk_count == 0 && !is_held)
        content_keep(message, buf_str(&transaction->content));
    transaction->message = NULL;
    transaction->chunk_count = 0;
    message->arrival = NULL;
    transaction_discard(transaction);
    submitter_release(submitter);
    if (is_held)
        message_free(&message); /* it is in the store until an operator releases it */
    else
        queue_accept(message);
}

static void commit_message(struct transaction *transaction)
{
    struct message *message = transaction->message;

    count_uncommitted(transaction->submitter, transaction->content.len);
    message->is_committing = true;
    message->due_ms = message->envelope.flags & ENVELOPE_HELD ? RETRY_NEVER_MS : clock_wall_ms();
    message->request = (struct commit_request){
        .kind = COMMIT_MESSAGE,
        .queue_id = message->queue_id,
        .envelope = str_of(message->encoded, message->encoded_len),
        .content = buf_str(&transaction->content),
        .chunk = transaction->chunk_count,
        .due_ms = message->due_ms,
        .done = message_done,
    };
    committer_submit(message->queue->committer, &message->request);
}

/* What can happen next once no chunk is on its way. */
static void transaction_proceed(struct transaction *transaction)
{
    if (transaction->chunks_on_way > 0)
        return;
    if (transaction->is_aborted) {
        transaction_discard(transaction);
    } else if (transaction->message != NULL && transaction->outcome != STORE_OK) {
        refuse(transaction->submitter, transaction->number, transaction->outcome);
        transaction_discard(transaction);
    } else if (transaction->message != NULL) {
        commit_message(transaction);
    }
}

static void chunk_done(struct commit_request *request)
{
    struct chunk *chunk = list_entry(request, struct chunk, request);
    struct transaction *transaction = chunk->transaction;
    struct submitter *submitter = transaction->submitter;

    count_committed(submitter, sizeof *chunk);
    transaction->chunks_on_way--;
    if (request->outcome != STORE_OK && transaction->outcome == STORE_OK)
        transaction->outcome = request->outcome;
    memory_free(chunk);
    transaction_proceed(transaction);
    submitter_release(submitter);
}

static void submit_chunk(struct transaction *transaction)
{
    struct chunk *chunk = transaction->open_chunk;

    transaction->open_chunk = NULL;
    if (transaction->outcome != STORE_OK) { /* it will be refused: no need to write more */
        memory_free(chunk);
        return;
    }
    chunk->request = (struct commit_request){
        .kind = COMMIT_CHUNK,
        .queue_id = transaction->queue_id,
        .chunk = transaction->chunk_count++,
        .content = str_of(chunk->bytes, chunk->len),
        .done = chunk_done,
    };
    transaction->chunks_on_way++;
    count_uncommitted(transaction->submitter, sizeof *chunk);
    committer_submit(transaction->submitter->queue->committer, &chunk->request);
}

static void add_content(struct transaction *transaction, struct str content)
{
    while (content.len > 0) {
        if (transaction->open_chunk == NULL) {
            transaction->open_chunk = memory_resize(NULL, sizeof *transaction->open_chunk);
            transaction->open_chunk->transaction = transaction;
            transaction->open_chunk->len = 0;
        }
        struct chunk *chunk = transaction->open_chunk;
        struct str part = str_take(content, STORE_CHUNK_BYTES - chunk->len);
        memcpy(chunk->bytes + chunk->len, part.ptr, part.len);
        chunk->len += part.len;
        content = str_skip(content, part.len);
        if (chunk->len == STORE_CHUNK_BYTES)
            submit_chunk(transaction);
    }
}

/* ---- what a peer says ---- */

static bool give_lease(struct submitter *submitter, uint32_t count)
{
    uint64_t first;

    if (!lease_take(submitter->queue, count, &first))
        return false;
    leased_ids_add(&submitter->ids, first, count);
    wire_send_submit_leased(submitter->channel, &(struct wire_submit_leased){
                                                    .first_queue_id = first, .count = count });
    return true;
}

static bool on_lease(struct submitter *submitter, struct str payload)
{
    struct wire_submit_lease message;

    if (!wire_decode_submit_lease(submitter->channel, payload, &message) || message.count == 0)
        return false;
    if (message.count > LEASE_COUNT_MAX)
        message.count = LEASE_COUNT_MAX;
    if (submitter->lease_count == 0 && give_lease(submitter, message.count))
        return true;
    if (submitter->lease_count == LEASES_WAITING_MAX)
        return false;
    submitter->leases_waiting[submitter->lease_count++] = message.count;
    return true;
}

/* A transaction's number and id as a chunk or message names them: the one that is there, or a new
 * one that uses the id up. NULL: the peer breaks the rules. */
static struct transaction *transaction_for(struct submitter *submitter, uint64_t number,
                                           uint64_t queue_id)
{
    struct transaction *transaction = map_find(submitter->transactions, number_key(&number));

    if (transaction != NULL)
        return transaction->queue_id == queue_id && transaction->message == NULL &&
                       !transaction->is_aborted
                   ? transaction
                   : NULL;
    if (map_count(submitter->transactions) >= TRANSACTIONS_MAX ||
        (!lease_may_be_older(&submitter->queue->lease, queue_id) &&
         !leased_ids_use(&submitter->ids, queue_id)))
        return NULL;
    return transaction_new(submitter, number, queue_id);
}

static bool on_chunk(struct submitter *submitter, struct str payload)
{
    struct wire_submit_chunk message;

    if (!wire_decode_submit_chunk(submitter->channel, payload, &message))
        return false;
    struct transaction *transaction =
        transaction_for(submitter, message.transaction, message.queue_id);
    if (transaction == NULL)
        return false;
    add_content(transaction, message.content);
    return true;
}

static bool has_sane_texts(const struct envelope *envelope)
{
    const struct str texts[] = {
        envelope->sender,    envelope->dsn_envid, envelope->client_name,   envelope->client_address,
        envelope->helo_name, envelope->protocol,  envelope->sasl_username, envelope->filter,
        envelope->verp,
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].len > TEXT_BYTES_MAX)
            return false;
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        const struct recipient *recipient = &envelope->recipients[i];
        if (recipient->address.len > TEXT_BYTES_MAX ||
            recipient->original_recipient.len > TEXT_BYTES_MAX ||
            recipient->dsn_orcpt.len > TEXT_BYTES_MAX ||
            recipient->dsn_status.len > TEXT_BYTES_MAX ||
            recipient->diagnostic.len > TEXT_BYTES_MAX)
            return false;
        if (recipient->state != RECIPIENT_UNREPORTED &&
            (recipient->dsn_status.len > 0 || recipient->diagnostic.len > 0))
            return false;
    }
    return true;
}

/* All of them wait, but for aliases whose members are recipients of their own. */
static bool has_new_recipients(const struct envelope *envelope)
{
    size_t waiting = envelope_waiting_count(envelope);

    for (size_t i = 0; i < envelope->recipient_count; i++)
        if (envelope->recipients[i].state == RECIPIENT_UNREPORTED &&
            envelope->recipients[i].dsn_action == DSN_ACTION_EXPANDED)
            waiting++;
    return waiting == envelope->recipient_count;
}

/* What only the queue itself may say of a message is not taken from outside. */
static bool is_new_mail(const struct envelope *envelope)
{
    if (envelope->recipient_count == 0 || envelope->recipient_count > RECIPIENTS_MAX ||
        envelope->arrival_us < 0 || envelope->attempts != 0 ||
        (envelope->flags & (ENVELOPE_BOUNCE | ENVELOPE_DELAY_WARNED | ENVELOPE_FORCE_EXPIRED |
                            ENVELOPE_REQUEUED | ENVELOPE_PROBE)))
        return false;
    return has_sane_texts(envelope) && has_new_recipients(envelope);
}

static bool on_message(struct submitter *submitter, struct str payload)
{
    struct wire_submit_message message;
    struct error error = { 0 };
    struct queue *queue = submitter->queue;
    struct message *made;

    if (!wire_decode_submit_message(submitter->channel, payload, &message) ||
        !message_new(queue, message.queue_id, message.envelope, &made, &error))
        return false;
    struct transaction *transaction =
        is_new_mail(&made->envelope)
            ? transaction_for(submitter, message.transaction, message.queue_id)
            : NULL;
    if (transaction == NULL) {
        message_free(&made);
        return false;
    }
    transaction->message = made;
    made->arrival = transaction;
    if (transaction->chunk_count > 0 || transaction->open_chunk != NULL ||
        message.content.len > STORE_INLINE_MAX) {
        add_content(transaction, message.content);
        if (transaction->open_chunk != NULL)
            buf_append(&transaction->content,
                       str_of(transaction->open_chunk->bytes, transaction->open_chunk->len));
        memory_free(transaction->open_chunk);
        transaction->open_chunk = NULL;
    } else {
        buf_append(&transaction->content, message.content);
    }
    if (!queue->intake.is_gate_open)
        transaction->outcome = STORE_FULL;
    transaction_proceed(transaction);
    return true;
}

static void abort_transaction(struct transaction *transaction)
{
    transaction->is_aborted = true;
    transaction_proceed(transaction);
}

static bool on_flush(struct submitter *submitter, struct str payload)
{
    struct wire_submit_flush message;

    if (!wire_decode_submit_flush(submitter->channel, payload, &message) || message.site.len == 0 ||
        message.site.len > TEXT_BYTES_MAX)
        return false;
    queue_flush_site(submitter->queue, message.site);
    return true;
}

static bool on_abort(struct submitter *submitter, struct str payload)
{
    struct wire_submit_abort message;

    if (!wire_decode_submit_abort(submitter->channel, payload, &message))
        return false;
    struct transaction *transaction =
        map_find(submitter->transactions, number_key(&message.transaction));
    /* None: it was refused meanwhile, or no chunk had come. */
    if (transaction != NULL && transaction->message != NULL)
        return false;
    if (transaction != NULL && !transaction->is_aborted)
        abort_transaction(transaction);
    return true;
}

static bool submitter_received(void *owner, struct channel *channel, uint16_t number,
                               struct str payload)
{
    struct submitter *submitter = owner;

    (void)channel;
    switch (number) {
    case WIRE_submit_message:
        return on_message(submitter, payload);
    case WIRE_submit_chunk:
        return on_chunk(submitter, payload);
    case WIRE_submit_lease:
        return on_lease(submitter, payload);
    case WIRE_submit_abort:
        return on_abort(submitter, payload);
    case WIRE_submit_flush:
        return on_flush(submitter, payload);
    default:
        return false;
    }
}

/* Messages that were handed over whole go on to the disk; half ones are forgotten. */
static void submitter_lose(struct submitter *submitter)
{
    struct map_cursor cursor = { 0 };
    size_t count = 0;
    struct transaction **half =
        memory_new_array(map_count(submitter->transactions) + 1, sizeof *half);

    channel_free(&submitter->channel);
    submitter->references++; /* keeps it here until we are done */
    while (map_next(submitter->transactions, &cursor)) {
        struct transaction *transaction = cursor.value;
        if (transaction->message == NULL && !transaction->is_aborted)
            half[count++] = transaction;
    }
    for (size_t i = 0; i < count; i++)
        abort_transaction(half[i]);
    memory_free(half);
    submitter->references--;
    submitter_release(submitter);
}

static void submitter_closed(void *owner, struct channel *channel, const char *reason)
{
    (void)channel, (void)reason;
    submitter_lose(owner);
}

static const struct channel_events submitter_events = { submitter_received, submitter_closed };

/* ---- all of them ---- */

bool intake_add(struct queue *queue, int fd, struct error *error)
{
    struct submitter *submitter = memory_new(sizeof *submitter);

    submitter->queue = queue;
    submitter->channel = channel_new(queue->loop, fd, &submitter_events, submitter, error);
    if (submitter->channel == NULL) {
        memory_free(submitter);
        return false;
    }
    submitter->transactions = map_new();
    list_append(&queue->intake.submitters, &submitter->link);
    send_gate(submitter, queue->intake.is_gate_open);
    return true;
}

void intake_lease_ready(struct queue *queue)
{
    list_each (link, &queue->intake.submitters) {
        struct submitter *submitter = list_entry(link, struct submitter, link);
        size_t given = 0;
        while (submitter->channel != NULL && given < submitter->lease_count &&
               give_lease(submitter, submitter->leases_waiting[given]))
            given++;
        submitter->lease_count -= given;
        memmove(submitter->leases_waiting, submitter->leases_waiting + given,
                submitter->lease_count * sizeof submitter->leases_waiting[0]);
    }
}

void intake_set_gate(struct queue *queue, bool is_open)
{
    if (queue->intake.is_gate_open == is_open)
        return;
    queue->intake.is_gate_open = is_open;
    if (is_open)
        log_info(&queue->settings->speakers[SPEAKER_QMGR], "new mail is accepted again");
    else
        log_warning(&queue->settings->speakers[SPEAKER_QMGR],
                    "not enough free disk space for new mail: it is refused with 452 4.3.1 until "
                    "there is room below %.*s",
                    STR_ARGS(queue->settings->config->queue_directory));
    list_each (link, &queue->intake.submitters) {
        struct submitter *submitter = list_entry(link, struct submitter, link);
        if (submitter->channel != NULL)
            send_gate(submitter, is_open);
    }
}

void intake_init(struct queue *queue)
{
    list_init(&queue->intake.submitters);
    queue->intake.is_gate_open = true;
}

void intake_clear(struct queue *queue)
{
    list_each_removable (link, &queue->intake.submitters) {
        struct submitter *submitter = list_entry(link, struct submitter, link);
        if (submitter->channel != NULL)
            submitter_lose(submitter);
    }
}
