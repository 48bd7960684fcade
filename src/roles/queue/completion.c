/* SPDX-License-Identifier: Apache-2.0 */
#include "completion.h"

#include "base/clock.h"
#include "bounce.h"
#include "mail/log_line.h"
#include "notice.h"
#include "queue.h"

enum {
    DIRTY_MS = 20,     /* results of one message gather so long before they are written */
    UNSAVED_MS = 1000, /* after a full disk */
};

/* ---- results while attempts are open ---- */

static void submit_update(struct message *message, int64_t due_ms,
                          void (*done)(struct commit_request *))
{
    buf_clear(&message->update);
    envelope_encode(&message->envelope, &message->update);
    message->is_committing = true;
    message->request = (struct commit_request){
        .kind = COMMIT_UPDATE,
        .is_patient = true,
        .queue_id = message->queue_id,
        .envelope = buf_str(&message->update),
        .due_ms = due_ms,
        .may_use_reserve = true,
        .done = done,
    };
    committer_submit(message->queue->committer, &message->request);
}

static void mark_dirty(struct message *message)
{
    struct queue *queue = message->queue;
    struct completion *completion = &queue->completion;

    if (!list_is_empty(&message->waiting_link))
        return;
    if (list_is_empty(&completion->dirty))
        timer_set(queue->loop, &completion->write_dirty, loop_now_ms(queue->loop) + DIRTY_MS,
                  completion->write_dirty.expired);
    list_append(&completion->dirty, &message->waiting_link);
}

/* ---- the end of an active time ---- */

/* What the verdicts add up to. */
struct tally {
    size_t waiting; /* to be tried again, or its success to be told */
    size_t undone;  /* of those: not tried */
    size_t failed;  /* for good */
};

static bool is_expired(const struct message *message)
{
    struct queue *queue = message->queue;
    int64_t now_ms = clock_wall_ms();

    queue_check_clock(queue);
    return retry_is_expired(
        &queue->settings->retry, message->envelope.sender.len == 0,
        retry_age_ms(&queue->clock, message->envelope.arrival_us / 1000, now_ms));
}

/* What a recipient that was not tried any more fails with: the last attempt's reason, if any. */
static void record_forced(struct message *message, size_t index)
{
    static const struct str reason = STR_INIT("message is administratively expired");
    const struct recipient *recipient = &message->envelope.recipients[index];

    message_record(message, index,
                   &(struct result){
                       .status = DELIVERY_DEFERRED,
                       .dsn = recipient->dsn_status.len > 0 ? recipient->dsn_status : STR("4.3.0"),
                       .diagnostic = recipient->diagnostic.len > 0 ? recipient->diagnostic : reason,
                   });
}

/* Recipients that were deferred once too often fail, or with `is_forced` all that wait. */
static void expire(struct message *message, bool is_forced)
{
    struct queue *queue = message->queue;
    struct buf *line = &queue->scratch;
    size_t count = 0;

    for (size_t i = 0; i < message->envelope.recipient_count; i++) {
        bool is_untried =
            message->envelope.recipients[i].state == RECIPIENT_WAITING &&
            (message->verdicts[i] == VERDICT_NONE || message->verdicts[i] == VERDICT_UNDONE);
        if (is_forced && is_untried)
            record_forced(message, i);
        if (message->verdicts[i] != VERDICT_DEFERRED)
            continue;
        message->verdicts[i] = VERDICT_BOUNCED;
        count++;
    }
    queue->completion.expired_total += count;
    if (count == 0) /* all were delivered after all */
        return;
    buf_clear(line);
    log_line_expired(message_id_text(message), message->envelope.sender, is_forced, line);
    log_write_text(&queue->settings->speakers[SPEAKER_QMGR], SEVERITY_INFO, buf_str(line));
}

static struct tally tally_verdicts(struct message *message)
{
    struct tally tally = { 0 };

    for (size_t i = 0; i < message->envelope.recipient_count; i++) {
        struct recipient *recipient = &message->envelope.recipients[i];
        if (message->verdicts[i] == VERDICT_BOUNCED) {
            recipient->state = RECIPIENT_BOUNCED;
            tally.failed++;
        }
        if (recipient->state != RECIPIENT_WAITING && recipient->state != RECIPIENT_UNREPORTED)
            continue;
        tally.waiting++;
        if (message->verdicts[i] == VERDICT_NONE || message->verdicts[i] == VERDICT_UNDONE)
            tally.undone++;
    }
    return tally;
}

static void keep_unsaved(struct message *message)
{
    struct queue *queue = message->queue;

    list_append(&queue->completion.unsaved, &message->waiting_link);
    timer_set(queue->loop, &queue->completion.try_unsaved, loop_now_ms(queue->loop) + UNSAVED_MS,
              queue->completion.try_unsaved.expired);
}

static void end_done(struct commit_request *request)
{
    struct message *message = list_entry(request, struct message, request);
    struct queue *queue = message->queue;
    bool is_gone = request->kind == COMMIT_DELETE;

    message->is_committing = false;
    if (request->outcome == STORE_FULL || request->outcome == STORE_FAILED) {
        keep_unsaved(message);
        return;
    }
    if (request->outcome == STORE_DAMAGED)
        log_error(&queue->settings->speakers[SPEAKER_QMGR],
                  "%s: its record in the queue is damaged; look at it with postcat -q %s, then "
                  "delete it with postsuper -d %s",
                  message->id.text, message->id.text, message->id.text);
    if (is_gone && !message->is_deleted) {
        struct buf *line = &queue->scratch;
        buf_clear(line);
        log_line_removed(message_id_text(message), line);
        log_write_text(&queue->settings->speakers[SPEAKER_QMGR], SEVERITY_INFO, buf_str(line));
        queue->active.removed_total++;
    }
    uint64_t queue_id = message->queue_id;
    int64_t due_ms = request->due_ms;
    bool is_waiting = !is_gone && !message->is_deleted && request->outcome == STORE_OK;
    bool is_to_retry = message->is_to_retry && !queue->scheduler.is_draining;
    active_release(message);
    if (!is_waiting)
        return;
    backlog_add(queue, queue_id, due_ms);
    if (is_to_retry)
        backlog_take(queue, queue_id);
}

/* The notices and the message's end are one commit; also when it is tried again. */
static void submit_end(struct message *message)
{
    struct queue *queue = message->queue;

    message->is_committing = true;
    notices_submit(message);
    committer_submit(queue->committer, &message->request);
}

static int64_t next_attempt_ms(const struct message *message, const struct tally *tally)
{
    int64_t now_ms = clock_wall_ms();

    if (message_is_to_hold(message))
        return RETRY_NEVER_MS;
    if (message_is_to_requeue(message) || tally->undone > 0)
        return now_ms;
    return retry_next_ms(&message->queue->settings->retry, message->envelope.arrival_us / 1000,
                         now_ms, retry_chance(message->queue_id, now_ms));
}

static void commit_end(struct message *message, const struct tally *tally)
{
    struct envelope *envelope = &message->envelope;

    message->request = (struct commit_request){
        .kind = COMMIT_DELETE,
        .is_patient = true,
        .queue_id = message->queue_id,
        .may_use_reserve = true,
        .done = end_done,
    };
    if (tally->waiting > 0) {
        if (!message_is_to_hold(message) && !message_is_to_requeue(message))
            envelope->attempts++;
        envelope->next_attempt_ms = next_attempt_ms(message, tally);
        buf_clear(&message->update);
        envelope_encode(envelope, &message->update);
        message->request.kind = COMMIT_UPDATE;
        message->request.envelope = buf_str(&message->update);
        message->request.due_ms = envelope->next_attempt_ms;
    }
    submit_end(message);
}

/* Recipients that no worker got round to (it was replaced) are not worse off for it. */
static void take_undone_again(struct message *message)
{
    message->is_finished = false;
    for (size_t i = 0; i < message->envelope.recipient_count; i++)
        if (message->verdicts[i] == VERDICT_UNDONE)
            message->verdicts[i] = VERDICT_NONE;
    scheduler_take(message->queue, message);
    mark_dirty(message);
    scheduler_run(message->queue);
}

/* delay_warning_time has come for what still waits; a message is warned of once. */
static bool is_delayed(const struct message *message)
{
    struct queue *queue = message->queue;
    int64_t limit_ms = queue->settings->config->delay_warning_time * 1000;

    if (limit_ms <= 0 || (message->envelope.flags & ENVELOPE_DELAY_WARNED) != 0 ||
        message_is_to_hold(message) || message_is_to_requeue(message) ||
        !message_has_verdict(message, VERDICT_DEFERRED))
        return false;
    queue_check_clock(queue);
    return retry_age_ms(&queue->clock, message->envelope.arrival_us / 1000, clock_wall_ms()) >=
           limit_ms;
}

/* Once for each end, also where that is committed again. False: not now. */
static bool make_notices(struct message *message)
{
    struct bounce_needs needs = {
        .has_failed = message_has_verdict(message, VERDICT_BOUNCED),
        .is_delayed = is_delayed(message),
    };

    message->has_notices = bounce_make(message, &needs);
    return message->has_notices;
}

static void finish(struct message *message)
{
    struct queue *queue = message->queue;

    if (message->is_deleted) {
        active_release(message);
        return;
    }
    bool is_tried = message_has_verdict(message, VERDICT_DEFERRED);
    bool is_draining = queue->scheduler.is_draining;
    bool is_to_rest = message_is_to_hold(message) || message_is_to_requeue(message);
    bool is_forced = !is_to_rest && (message->envelope.flags & ENVELOPE_FORCE_EXPIRED) != 0;
    if (message_has_verdict(message, VERDICT_UNDONE) && !is_draining && !is_to_rest && !is_forced) {
        take_undone_again(message);
        return;
    }
    if (is_forced || (is_tried && !is_to_rest && is_expired(message)))
        expire(message, is_forced);
    if (!message->has_notices && !make_notices(message)) {
        keep_unsaved(message);
        return;
    }
    struct tally tally = tally_verdicts(message);
    if (tally.waiting > 0 && tally.undone == tally.waiting && !message->is_changed && !is_to_rest)
        active_release(message); /* as if it had not been taken up */
    else
        commit_end(message, &tally);
}

static void checkpoint_done(struct commit_request *request)
{
    struct message *message = list_entry(request, struct message, request);

    /* A checkpoint that failed is made good by the next one, or by the end. */
    message->is_committing = false;
    if (message->is_finished)
        finish(message);
    else if (message->is_dirty)
        mark_dirty(message);
    message->is_dirty = false;
}

static void write_dirty_expired(struct timer *timer)
{
    struct queue *queue = list_entry(timer, struct queue, completion.write_dirty);

    list_each_removable (link, &queue->completion.dirty) {
        struct message *message = list_entry(link, struct message, waiting_link);
        list_remove(&message->waiting_link);
        if (!message->is_committing && !message->is_deleted)
            submit_update(message, message->due_ms, checkpoint_done);
        else
            message->is_dirty = true;
    }
}

void completion_progress(struct message *message)
{
    if (message_is_probe(message)) {
        if (message->attempts_open == 0)
            probe_finish(message);
        return;
    }
    if (message->attempts_open > 0) {
        mark_dirty(message);
        return;
    }
    message->is_finished = true;
    list_remove(&message->waiting_link);
    if (!message->is_committing)
        finish(message);
}

static void try_unsaved_expired(struct timer *timer)
{
    struct queue *queue = list_entry(timer, struct queue, completion.try_unsaved);
    struct list again = LIST_INIT(again);

    while (!list_is_empty(&queue->completion.unsaved)) {
        struct list *link = queue->completion.unsaved.next;
        list_remove(link);
        list_append(&again, link);
    }
    while (!list_is_empty(&again)) {
        struct message *message = list_entry(again.next, struct message, waiting_link);
        list_remove(&message->waiting_link);
        if (message->request.done == end_done && !message->is_deleted)
            submit_end(message);
        else
            finish(message);
    }
}

void completion_init(struct queue *queue)
{
    list_init(&queue->completion.dirty);
    list_init(&queue->completion.unsaved);
    queue->completion.write_dirty.expired = write_dirty_expired;
    queue->completion.try_unsaved.expired = try_unsaved_expired;
}

void completion_clear(struct queue *queue)
{
    timer_clear(queue->loop, &queue->completion.write_dirty);
    timer_clear(queue->loop, &queue->completion.try_unsaved);
}
