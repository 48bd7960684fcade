/* SPDX-License-Identifier: Apache-2.0 */
#include "requeue.h"

#include "base/clock.h"
#include "mail/header.h"
#include "mail/log_line.h"
#include "mail/received.h"
#include "queue.h"
#include "store/queue_tool.h"

enum {
    HEADERS_BYTES_MAX = 1024 * 1024, /* what may be headers; the rest is never looked into */
    ID_WAIT_MS = 20,
    REST_MS = 1,
};

/* One message on its way from the old id to the new one. */
struct passage {
    struct queue *queue;
    struct queue_message old;
    uint64_t new_id;
    struct queue_id_text new_text;
    struct envelope envelope;
    struct arena arena;
    struct cleanup_message cleanup;
    struct message_actions actions;
    struct str rejection; /* by a check at the first try: "5.7.1 text"; this one is to bounce */
    bool is_refused;
    struct buf headers; /* content until the headers' end has been seen */
    bool is_in_body;
    struct buf out; /* new content that is not in the store yet */
    uint32_t chunk_count;
    uint64_t sent_bytes, sent_lines;
};

/* ---- commits that the fiber waits for ---- */

struct waited_commit {
    struct commit_request request;
    struct fiber *fiber;
    bool is_done;
};

static void commit_done(struct commit_request *request)
{
    struct waited_commit *commit = list_entry(request, struct waited_commit, request);

    commit->is_done = true;
    fiber_wake(commit->fiber);
}

static void commit_submit(struct queue *queue, struct waited_commit *commit)
{
    commit->request.done = commit_done;
    commit->request.may_use_reserve = true;
    commit->fiber = queue->requeue.fiber;
    committer_submit(queue->committer, &commit->request);
}

static enum store_outcome commit_wait(struct queue *queue, struct waited_commit *commit)
{
    while (!commit->is_done)
        (void)fiber_wait(queue->loop, "a commit", DEADLINE_NEVER);
    return commit->request.outcome;
}

static enum store_outcome commit_one(struct queue *queue, struct waited_commit *commit)
{
    commit_submit(queue, commit);
    return commit_wait(queue, commit);
}

/* ---- the new envelope ---- */

static void add_recipient(struct passage *passage, const struct recipient *from)
{
    struct recipient recipient = *from;

    recipient.dsn_status = recipient.diagnostic = STR("");
    envelope_add_recipient(&passage->arena, &passage->envelope, &recipient);
}

static void make_envelope(struct passage *passage)
{
    enum {
        KEPT = ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8 | ENVELOPE_LOCAL | ENVELOPE_RET_FULL |
               ENVELOPE_RET_HEADERS | ENVELOPE_REPORT | ENVELOPE_VERIFY
    };
    const struct envelope *old = &passage->old.envelope;

    passage->envelope = *old;
    passage->envelope.flags &= KEPT;
    passage->envelope.filter = passage->queue->settings->config->content_filter;
    passage->envelope.next_attempt_ms = 0;
    passage->envelope.attempts = 0;
    passage->envelope.recipients = NULL;
    passage->envelope.recipient_count = passage->envelope.recipient_capacity = 0;
    for (size_t i = 0; i < old->recipient_count; i++)
        if (old->recipients[i].state == RECIPIENT_WAITING)
            add_recipient(passage, &old->recipients[i]);
}

/* Whose success the sender is still to be told of: they are done, and nothing looks at their
 * addresses again. */
static void add_unreported(struct passage *passage)
{
    const struct envelope *old = &passage->old.envelope;

    for (size_t i = 0; i < old->recipient_count; i++)
        if (old->recipients[i].state == RECIPIENT_UNREPORTED)
            envelope_add_recipient(&passage->arena, &passage->envelope, &old->recipients[i]);
}

/* ---- the new content ---- */

static uint64_t count_lines(struct str text)
{
    uint64_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '\n';
    return count;
}

/* Whole chunks go to the store. */
static bool store_chunks(struct passage *passage)
{
    while (passage->out.len > STORE_INLINE_MAX) {
        struct waited_commit commit = {
            .request = {
                .kind = COMMIT_CHUNK,
                .queue_id = passage->new_id,
                .chunk = passage->chunk_count,
                .content = str_of(passage->out.ptr, STORE_CHUNK_BYTES),
            },
        };
        if (commit_one(passage->queue, &commit) != STORE_OK)
            return false;
        passage->chunk_count++;
        passage->sent_bytes += STORE_CHUNK_BYTES;
        passage->sent_lines += count_lines(commit.request.content);
        buf_consume(&passage->out, STORE_CHUNK_BYTES);
    }
    return true;
}

static bool check(struct passage *passage, enum cleanup_outcome outcome)
{
    if (outcome == CLEANUP_REFUSED)
        passage->is_refused = true;
    return outcome == CLEANUP_DONE;
}

static bool clean_headers(struct passage *passage)
{
    const struct queue *queue = passage->queue;
    const struct config *config = queue->settings->config;
    autofree_buf struct buf opening = { 0 };
    struct received received = {
        .myhostname = config->myhostname,
        .mail_name = config->mail_name,
        .queue_id = str_from(passage->new_text.text),
        .wall_s = clock_wall_ms() / 1000,
        .is_local = true,
        .uid = (uint32_t)queue->options.owner_uid,
    };
    bool is_local = (passage->envelope.flags & ENVELOPE_LOCAL) != 0;

    received_format(&received, &opening);
    passage->cleanup = (struct cleanup_message){
        .arena = &passage->arena,
        .envelope = &passage->envelope,
        .queue_id = str_from(passage->new_text.text),
        .parts = cleanup_external_parts(config),
        .origin = is_local ? HEADERS_LOCAL : HEADERS_REMOTE,
        .opening = buf_str(&opening),
        .actions = &passage->actions,
    };
    if (passage->rejection.len > 0)
        passage->cleanup.parts &= ~(unsigned)CLEANUP_CHECKS;
    passage->is_in_body = true;
    return check(passage, cleanup_run(queue->settings->cleanup, &passage->cleanup,
                                      buf_str(&passage->headers), &passage->out));
}

/* The bytes are the store's until the next read: nothing looks at them behind a wait. */
static bool add_content(void *argument, struct str bytes)
{
    struct passage *passage = argument;
    struct buf *headers = &passage->headers;

    if (passage->is_in_body)
        return check(passage, cleanup_add(&passage->cleanup, bytes, &passage->out)) &&
               store_chunks(passage);
    buf_append(headers, bytes);
    if (str_find(buf_str(headers), STR("\r\n\r\n")) < 0 && headers->len <= HEADERS_BYTES_MAX)
        return true;
    return clean_headers(passage) && store_chunks(passage);
}

static bool make_content(struct passage *passage, struct error *error)
{
    enum store_outcome outcome = store_read_content(passage->queue->store, passage->old.queue_id,
                                                    add_content, passage, error);

    if (outcome != STORE_OK)
        return false;
    if (!passage->is_in_body && !clean_headers(passage))
        return false;
    return !passage->is_refused && check(passage, cleanup_end(&passage->cleanup, &passage->out)) &&
           store_chunks(passage) && passage->out.len <= STORE_INLINE_MAX;
}

/* ---- the exchange ---- */

static void accept_new(struct passage *passage, const struct buf *encoded)
{
    struct message *message;
    struct error error;

    if (passage->envelope.flags & ENVELOPE_HELD)
        return;
    if (!message_new(passage->queue, passage->new_id, buf_str(encoded), &message, &error))
        return; /* the store has it, and gives it again */
    message->due_ms = clock_wall_ms();
    queue_accept(message);
}

/* The new message for the old one, or with `is_discarded` nothing. */
static bool exchange(struct passage *passage, bool is_discarded)
{
    struct queue *queue = passage->queue;
    autofree_buf struct buf encoded = { 0 };
    struct envelope *envelope = &passage->envelope;
    struct waited_commit removal = {
        .request = { .kind = COMMIT_DELETE, .queue_id = passage->old.queue_id },
    };

    if (is_discarded)
        return commit_one(queue, &removal) == STORE_OK;
    envelope->content_bytes = passage->sent_bytes + passage->out.len;
    envelope->size_bytes =
        envelope->content_bytes - passage->sent_lines - count_lines(buf_str(&passage->out));
    message_actions_apply(&passage->actions, &passage->arena, envelope);
    add_unreported(passage);
    if (passage->rejection.len > 0)
        envelope->filter =
            str_from(arena_printf(&passage->arena, "error:%.*s", STR_ARGS(passage->rejection)));
    envelope_encode(envelope, &encoded);
    struct waited_commit arrival = {
        .request = {
            .kind = COMMIT_MESSAGE,
            .queue_id = passage->new_id,
            .envelope = buf_str(&encoded),
            .content = buf_str(&passage->out),
            .chunk = passage->chunk_count,
            .due_ms = envelope->flags & ENVELOPE_HELD ? RETRY_NEVER_MS : clock_wall_ms(),
            .is_with_next = true,
        },
    };
    commit_submit(queue, &arrival);
    commit_submit(queue, &removal);
    commit_wait(queue, &removal);
    if (commit_wait(queue, &arrival) != STORE_OK)
        return false;
    accept_new(passage, &encoded);
    return true;
}

static void drop_chunks(struct passage *passage)
{
    struct waited_commit commit = {
        .request = { .kind = COMMIT_DROP_CHUNKS,
                     .queue_id = passage->new_id,
                     .chunk = passage->chunk_count },
    };

    if (passage->chunk_count > 0)
        (void)commit_one(passage->queue, &commit); /* else the next start sweeps them */
}

static void log_passage(struct passage *passage)
{
    struct queue *queue = passage->queue;
    struct buf *line = &queue->scratch;
    struct queue_id_text old_text =
        queue_id_format(passage->old.queue_id, queue->settings->has_long_ids);

    buf_clear(line);
    log_line_pickup(str_from(passage->new_text.text), (uint32_t)queue->options.owner_uid,
                    passage->envelope.sender, line);
    buf_printf(line, " orig_id=%s", old_text.text);
    log_write_text(&queue->settings->speakers[SPEAKER_PICKUP], SEVERITY_INFO, buf_str(line));
}

static void passage_clear(struct passage *passage)
{
    (void)cleanup_end(&passage->cleanup, NULL);
    buf_free(&passage->headers);
    buf_free(&passage->out);
    queue_message_clear(&passage->old);
    arena_clear(&passage->arena);
}

static bool take_id(struct queue *queue, struct passage *passage)
{
    while (!lease_take(queue, 1, &passage->new_id))
        if (queue->scheduler.is_draining || fiber_sleep(queue->loop, ID_WAIT_MS) == WAKE_CANCELLED)
            return false;
    passage->new_text = queue_id_format(passage->new_id, queue->settings->has_long_ids);
    return true;
}

enum passage_end { PASSAGE_DONE, PASSAGE_REJECTED, PASSAGE_LATER };

static enum passage_end pass(struct passage *passage, uint64_t queue_id)
{
    struct queue *queue = passage->queue;
    struct error error = { .message = "" };
    enum store_outcome outcome = queue_message_read(queue->store, queue_id, &passage->old, &error);

    if (outcome == STORE_ABSENT ||
        (outcome == STORE_OK && !(passage->old.envelope.flags & ENVELOPE_REQUEUED)))
        return PASSAGE_DONE;
    if (outcome == STORE_OK && !take_id(queue, passage))
        return PASSAGE_LATER;
    if (outcome == STORE_OK) {
        make_envelope(passage);
        log_passage(passage);
        if (make_content(passage, &error) && exchange(passage, passage->actions.is_discarded))
            return PASSAGE_DONE;
        drop_chunks(passage);
    }
    if (passage->is_refused && passage->cleanup.reply_code >= 500)
        return PASSAGE_REJECTED;
    log_warning(&queue->settings->speakers[SPEAKER_PICKUP],
                "%s: cannot be requeued now, and is tried again later: %.*s%s",
                queue_id_format(queue_id, queue->settings->has_long_ids).text,
                STR_ARGS(passage->cleanup.reply_text), error.message);
    return PASSAGE_LATER;
}

/* It keeps its mark, and waits for as long as mail that could not be delivered. */
static void postpone(struct queue *queue, uint64_t queue_id)
{
    struct queue_message message = { 0 };
    struct error error;
    int64_t due_ms = clock_wall_ms() + queue->settings->minimal_backoff_ms;

    if (queue_message_read(queue->store, queue_id, &message, &error) == STORE_OK) {
        struct waited_commit commit = {
            .request = { .kind = COMMIT_UPDATE,
                         .queue_id = queue_id,
                         .envelope = buf_str(&message.bytes),
                         .due_ms = due_ms },
        };
        if (commit_one(queue, &commit) == STORE_OK)
            backlog_add(queue, queue_id, due_ms);
    }
    queue_message_clear(&message);
}

static void run_one(struct queue *queue, uint64_t queue_id)
{
    struct passage passage = { .queue = queue };
    struct passage bouncing = { .queue = queue };
    enum passage_end end = pass(&passage, queue_id);

    /* What a check rejects goes back to its sender whole: it is queued unchecked for the transport
     * that fails everything. */
    if (end == PASSAGE_REJECTED) {
        bouncing.rejection =
            str_from(arena_printf(&bouncing.arena, "%s %.*s", passage.cleanup.reply_enhanced,
                                  STR_ARGS(passage.cleanup.reply_text)));
        end = pass(&bouncing, queue_id);
    }
    passage_clear(&passage);
    passage_clear(&bouncing);
    if (end != PASSAGE_DONE && !queue->scheduler.is_draining)
        postpone(queue, queue_id);
}

/* Not in the fiber, whose stack is small for a reload. */
static void rested_expired(struct timer *timer)
{
    struct queue *queue = list_entry(timer, struct queue, requeue.rested);

    if (queue->options.rested != NULL && !queue->requeue.is_passing)
        queue->options.rested(queue->options.argument);
}

static void requeue_fiber(void *argument)
{
    struct queue *queue = argument;
    struct requeue *requeue = &queue->requeue;
    struct map_cursor cursor = { 0 };
    uint64_t queue_id;

    while (!queue->scheduler.is_draining && map_next(requeue->pending, &cursor)) {
        memcpy(&queue_id, cursor.key.ptr, sizeof queue_id);
        requeue->is_passing = true;
        run_one(queue, queue_id);
        requeue->is_passing = false;
        timer_set(queue->loop, &requeue->rested, loop_now_ms(queue->loop), rested_expired);
        (void)map_remove(requeue->pending, str_of((const char *)&queue_id, sizeof queue_id));
        cursor = (struct map_cursor){ 0 };
        backlog_room(queue);
        (void)fiber_sleep(queue->loop, REST_MS); /* a reload has its turn */
    }
    requeue->fiber = NULL;
}

/* ---- from outside ---- */

void requeue_add(struct queue *queue, uint64_t queue_id)
{
    struct requeue *requeue = &queue->requeue;

    (void)map_set(requeue->pending, str_of((const char *)&queue_id, sizeof queue_id), requeue);
    if (requeue->fiber == NULL)
        requeue->fiber = fiber_start(queue->loop, "requeue", requeue_fiber, queue);
}

bool requeue_has(const struct queue *queue, uint64_t queue_id)
{
    return map_count(queue->requeue.pending) > 0 &&
           map_find(queue->requeue.pending, str_of((const char *)&queue_id, sizeof queue_id));
}

size_t requeue_count(const struct queue *queue)
{
    return map_count(queue->requeue.pending);
}

void requeue_init(struct queue *queue)
{
    queue->requeue.pending = map_new();
}

void requeue_clear(struct queue *queue)
{
    timer_clear(queue->loop, &queue->requeue.rested);
    map_free(&queue->requeue.pending);
}
