/* SPDX-License-Identifier: Apache-2.0 */
/* The requests behind `waypost top` and `waypost why`: what waits where, and what keeps it so. */
#include "base/clock.h"
#include "base/memory.h"
#include "gathering.h"
#include "tool_client.h"
#include "wire/tool_status.h"

#include <sysexits.h>

enum {
    RECENT_MS = 60 * 60 * 1000, /* destinations used since then are shown though nothing waits */
    SHOWN_MAX = 3000,
    RECIPIENTS_MAX = 200, /* of a message, whose places are shown */
};

/* What a destination's row is made of. */
struct subject {
    struct str key, transport, nexthop;
    struct str recipient;
};

/* ---- one destination ---- */

static int64_t wall_of(const struct queue *queue, int64_t monotonic_ms)
{
    return clock_wall_ms() + monotonic_ms - loop_now_ms(queue->loop);
}

static enum destination_block block_of(const struct destination *destination, int64_t *wake_ms)
{
    const struct queue *queue = destination->queue;
    const struct transport *transport = destination->transport;
    const struct transport_settings *settings = &transport->settings;
    int64_t now_ms = loop_now_ms(queue->loop);

    if (destination->wake.heap_slot != 0)
        *wake_ms = wall_of(queue, destination->wake.deadline_ms);
    if (destination_is_dead(destination))
        return BLOCK_DEAD;
    if (destination->waiting_count == 0)
        return BLOCK_NONE;
    if (rate_wait_ms(&destination->rate, settings->destination_delay_ms, now_ms) > 0)
        return BLOCK_DELAY;
    if (!concurrency_has_room(&destination->concurrency))
        return BLOCK_CONCURRENCY;
    if (settings->process_limit > 0 && transport->busy >= settings->process_limit)
        return BLOCK_PROCESS_LIMIT;
    int64_t pause_ms = rate_wait_ms(&transport->rate, settings->transport_delay_ms, now_ms);
    if (pause_ms > 0) {
        *wake_ms = wall_of(queue, now_ms + pause_ms);
        return BLOCK_TRANSPORT_DELAY;
    }
    return transport->is_stalled ? BLOCK_WORKERS : BLOCK_NONE;
}

static void add_live(const struct queue *queue, const struct subject *subject,
                     struct wire_tool_destination *row)
{
    const struct destination *live = map_find(queue->scheduler.destinations, subject->key);
    const struct transport *transport = map_find(queue->scheduler.transports, subject->transport);

    if (transport != NULL) {
        row->transport_busy = transport->busy;
        if (transport->settings.is_deferred)
            row->block = BLOCK_DEFERRED;
    }
    if (live == NULL)
        return;
    row->busy = live->concurrency.busy;
    row->waiting = live->waiting_count + live->parking.count;
    row->window = live->concurrency.window;
    row->block = (uint8_t)block_of(live, &row->wake_ms);
    row->dead_reason = row->block == BLOCK_DEAD ? buf_str(&live->reason) : STR("");
}

static void add_census(const struct queue *queue, const struct subject *subject,
                       struct wire_tool_destination *row)
{
    const struct census_row *counted =
        queue->census.rows != NULL ? map_find(queue->census.rows, subject->key) : NULL;

    if (counted == NULL)
        return;
    row->incoming = counted->incoming;
    row->deferred = counted->deferred;
    row->held = counted->held;
    row->oldest_us = counted->oldest_us;
}

static void add_record(const struct destination_record *record, struct wire_tool_destination *row)
{
    if (record == NULL)
        return;
    row->sent = record->sent;
    row->failed = record->deferred;
    row->bounced = record->bounced;
    row->last_sent_ms = record->last_sent_ms;
    row->last_failed_ms = record->last_failed_ms;
}

static void send_replies(struct tool_client *client, const struct destination_record *record,
                         unsigned count)
{
    for (unsigned i = 0; record != NULL && i < count; i++) {
        const struct reply_record *reply =
            &record->replies[(record->newest + STATISTICS_REPLIES - i) % STATISTICS_REPLIES];
        if (reply->wall_ms == 0)
            return;
        wire_send_tool_reply(client->channel,
                             &(struct wire_tool_reply){ .wall_ms = reply->wall_ms,
                                                        .repeats = reply->repeats,
                                                        .status = reply->status,
                                                        .text = str_of(reply->text, reply->len) });
    }
}

static void send_destination(struct tool_client *client, const struct subject *subject,
                             unsigned replies)
{
    const struct queue *queue = client->queue;
    const struct destination_record *record = statistics_find(queue, subject->key);
    struct wire_tool_destination row = { .transport = subject->transport,
                                         .nexthop = subject->nexthop,
                                         .recipient = subject->recipient,
                                         .dead_reason = STR("") };

    add_live(queue, subject, &row);
    add_census(queue, subject, &row);
    add_record(record, &row);
    wire_send_tool_destination(client->channel, &row);
    send_replies(client, record, replies);
}

/* ---- limits ---- */

static void send_limit(struct tool_client *client, enum limit_kind kind, const char *name,
                       int64_t value)
{
    wire_send_tool_limit(
        client->channel,
        &(struct wire_tool_limit){ .kind = (uint8_t)kind, .name = str_from(name), .value = value });
}

static void send_transport_limits(struct tool_client *client, struct str name)
{
    const struct transport_settings *settings = &transport_find(client->queue, name)->settings;
    const struct concurrency_limits *concurrency = &settings->concurrency;

    send_limit(client, LIMIT_TRANSPORT, "destination_concurrency_limit",
               (int64_t)concurrency->limit);
    send_limit(client, LIMIT_TRANSPORT, "initial_destination_concurrency",
               (int64_t)concurrency->initial);
    send_limit(client, LIMIT_TRANSPORT, "destination_concurrency_failed_cohort_limit",
               (int64_t)concurrency->cohort_limit);
    send_limit(client, LIMIT_TRANSPORT, "destination_recipient_limit",
               (int64_t)settings->recipient_limit);
    send_limit(client, LIMIT_TRANSPORT, "destination_rate_delay",
               settings->destination_delay_ms / 1000);
    send_limit(client, LIMIT_TRANSPORT, "transport_rate_delay",
               settings->transport_delay_ms / 1000);
    send_limit(client, LIMIT_SERVICE, "maxproc", (int64_t)settings->process_limit);
}

static void send_global_limits(struct tool_client *client)
{
    const struct retry_limits *retry = &client->queue->settings->retry;

    send_limit(client, LIMIT_GLOBAL, "minimal_backoff_time", retry->minimal_backoff_ms / 1000);
    send_limit(client, LIMIT_GLOBAL, "maximal_backoff_time", retry->maximal_backoff_ms / 1000);
    send_limit(client, LIMIT_GLOBAL, "queue_retry_jitter", retry->jitter_percent);
    send_limit(client, LIMIT_GLOBAL, "maximal_queue_lifetime", retry->lifetime_ms / 1000);
    send_limit(client, LIMIT_GLOBAL, "bounce_queue_lifetime", retry->bounce_lifetime_ms / 1000);
    send_limit(client, LIMIT_GLOBAL, "qmgr_message_active_limit",
               (int64_t)client->queue->settings->active_limit);
}

static void send_explained(struct tool_client *client, const struct subject *subject)
{
    send_destination(client, subject, STATISTICS_REPLIES);
    send_transport_limits(client, subject->transport);
}

/* ---- the overview ---- */

static void send_totals(struct tool_client *client)
{
    const struct queue *queue = client->queue;
    const struct completion *completion = &queue->completion;
    struct store_space space;

    store_space(queue->store, queue->settings->minfree_bytes, &space);
    wire_send_tool_totals(client->channel, &(struct wire_tool_totals){
                                               .now_ms = clock_wall_ms(),
                                               .started_ms = queue->statistics.started_ms,
                                               .messages = store_message_count(queue->store),
                                               .active = active_count(queue),
                                               .active_limit = queue->settings->active_limit,
                                               .in_flight = queue->scheduler.in_flight,
                                               .waiting = queue->scheduler.waiting,
                                               .accepted = queue->intake.accepted_total,
                                               .refused = queue->intake.refused_total,
                                               .removed = queue->active.removed_total,
                                               .delivered = completion->delivered_total,
                                               .deferred = completion->deferred_total,
                                               .bounced = completion->bounced_total,
                                               .expired = completion->expired_total,
                                               .is_open = queue->intake.is_gate_open,
                                               .free_bytes = space.free_bytes,
                                               .census_ms = queue->census.made_ms,
                                               .others = queue->census.others,
                                           });
}

/* Destinations from three tables, each once. The keys are copied: the tables may change while the
 * client is waited for. */
struct subjects {
    struct arena arena;
    struct map *seen;
    struct subject *all;
    size_t count;
};

static void add_subject(struct subjects *subjects, struct str key, struct str transport,
                        struct str nexthop)
{
    if (subjects->count == SHOWN_MAX || map_find(subjects->seen, key) != NULL)
        return;
    struct subject *subject = &subjects->all[subjects->count++];
    subject->key = arena_copy(&subjects->arena, key);
    subject->transport = arena_copy(&subjects->arena, transport);
    subject->nexthop = arena_copy(&subjects->arena, nexthop);
    subject->recipient = STR("");
    (void)map_set(subjects->seen, key, subject);
}

/* With `recent_ms` only what was used since; 0: whatever is known. */
static void gather_subjects(const struct queue *queue, int64_t recent_ms, struct subjects *subjects)
{
    struct map_cursor live = { 0 }, counted = { 0 };

    subjects->seen = map_new();
    subjects->all = arena_new_array(&subjects->arena, SHOWN_MAX, sizeof *subjects->all);
    while (map_next(queue->scheduler.destinations, &live)) {
        const struct destination *destination = live.value;
        add_subject(subjects, live.key, destination->transport->name, destination->nexthop);
    }
    while (queue->census.rows != NULL && map_next(queue->census.rows, &counted)) {
        const struct census_row *row = counted.value;
        add_subject(subjects, row->key, row->transport, row->nexthop);
    }
    list_each (link, &queue->statistics.by_use) {
        const struct destination_record *record = list_entry(link, struct destination_record, link);
        if (record->last_sent_ms >= recent_ms || record->last_failed_ms >= recent_ms)
            add_subject(subjects, record->key, record->transport, record->nexthop);
    }
}

static void subjects_clear(struct subjects *subjects)
{
    map_free(&subjects->seen);
    arena_clear(&subjects->arena);
}

static uint64_t send_overview(struct tool_client *client)
{
    struct subjects subjects = { 0 };
    size_t sent = 0;

    send_totals(client);
    gather_subjects(client->queue, clock_wall_ms() - RECENT_MS, &subjects);
    for (; sent < subjects.count; sent++) {
        if (sent % TOOL_PORTION == TOOL_PORTION - 1 && !tool_client_has_room(client))
            break;
        send_destination(client, &subjects.all[sent], 1);
    }
    subjects_clear(&subjects);
    return sent;
}

/* ---- one destination by any of its names ---- */

static bool is_meant(const struct subject *subject, struct str text)
{
    struct str rest = text;
    struct str transport = str_cut(&rest, ":");

    return str_equal_fold(subject->nexthop, text) ||
           (text.len > transport.len && str_equal(subject->transport, transport) &&
            str_equal_fold(subject->nexthop, rest));
}

/* Where mail for an address goes by the configuration. */
static bool send_place(struct tool_client *client, const struct envelope *envelope,
                       struct str address, struct map *seen, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    autofree_buf struct buf key = { 0 };
    struct place place;

    if (!place_find(client->queue, &scratch, envelope, address, &place, error))
        return false;
    destination_key(place.transport, place.nexthop, place.address, &key);
    if (seen == NULL || map_set(seen, buf_str(&key), client) == NULL)
        send_explained(client, &(struct subject){ .key = buf_str(&key),
                                                  .transport = place.transport->name,
                                                  .nexthop = place.nexthop,
                                                  .recipient = address });
    return true;
}

static void explain_destination(struct tool_client *client, struct str text,
                                struct queue_tool_counts *counts)
{
    const struct envelope anybody = { .sender = STR("") };
    struct subjects subjects = { 0 };
    struct error error = { .message = "" };

    gather_subjects(client->queue, 0, &subjects);
    for (size_t i = 0; i < subjects.count && counts->done < TOOL_PORTION; i++) {
        if (!is_meant(&subjects.all[i], text))
            continue;
        send_explained(client, &subjects.all[i]);
        counts->done++;
    }
    subjects_clear(&subjects);
    if (counts->done == 0) {
        const char *address =
            str_find_byte(text, '@') >= 0
                ? arena_text(&client->request, text)
                : arena_printf(&client->request, "postmaster@%.*s", STR_ARGS(text));
        counts->done = send_place(client, &anybody, str_from(address), NULL, &error);
    }
    tool_client_done(client, counts->done > 0 ? EX_OK : EX_TEMPFAIL, counts,
                     str_from(error.message));
}

/* ---- one message ---- */

static void explain_message(struct tool_client *client, uint64_t queue_id,
                            struct queue_tool_counts *counts)
{
    struct queue_message message = { 0 };
    struct map *seen = map_new();
    struct envelope envelope;
    struct error error;

    if (tool_look_at(client->queue, queue_id, &message, &error) != STORE_OK ||
        !envelope_decode(&message.arena, buf_str(&message.bytes), &envelope, &error)) {
        tool_client_done(client, EX_NOINPUT, counts, STR("no such message in the queue"));
    } else {
        tool_client_message(client, &message);
        for (size_t i = 0; i < envelope.recipient_count && counts->done < RECIPIENTS_MAX; i++)
            if (envelope.recipients[i].state == RECIPIENT_WAITING)
                counts->done +=
                    send_place(client, &envelope, envelope.recipients[i].address, seen, &error);
        tool_client_done(client, EX_OK, counts, STR(""));
    }
    map_free(&seen);
    queue_message_clear(&message);
}

void tool_do_status(struct tool_client *client, const struct wire_tool_status *request)
{
    struct queue_tool_counts counts = { 0 };
    uint64_t queue_id;

    if (request->census == 1)
        census_want(client->queue);
    else if (request->census > 1 && !census_wait(client->queue))
        return;
    if (request->id.len == 0 && request->destination.len == 0) {
        counts.done = send_overview(client);
        tool_client_done(client, EX_OK, &counts, STR(""));
        return;
    }
    send_global_limits(client);
    if (request->id.len == 0)
        explain_destination(client, request->destination, &counts);
    else if (queue_id_parse(request->id, &queue_id))
        explain_message(client, queue_id, &counts);
    else
        tool_client_done(client, EX_NOINPUT, &counts, STR("no such message in the queue"));
}
