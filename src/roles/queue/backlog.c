/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog.h"

#include "base/clock.h"
#include "mail/address.h"
#include "queue.h"

enum {
    PORTION = 64,            /* messages in one turn */
    LONGEST_WAIT_MS = 60000, /* then the clocks are compared again */
    SITES_BYTES_MAX = 16384, /* of a flush; beyond that it becomes one of everything */
};

static void scan_soon(struct queue *queue)
{
    struct timer *timer = &queue->backlog.timer;

    timer_set(queue->loop, timer, loop_now_ms(queue->loop), timer->expired);
}

static void wait_for_next(struct queue *queue)
{
    struct timer *timer = &queue->backlog.timer;
    int64_t wait_ms = LONGEST_WAIT_MS;
    int64_t until_ms = queue->backlog.next_due_ms - clock_wall_ms();

    if (until_ms < wait_ms)
        wait_ms = until_ms > 0 ? until_ms : 0;
    timer_set(queue->loop, timer, loop_now_ms(queue->loop) + wait_ms, timer->expired);
}

/* A record that cannot be used stays where it is and is told once per scan. */
static void report_bad(struct queue *queue, uint64_t queue_id, const char *text)
{
    struct queue_id_text id = queue_id_format(queue_id, queue->settings->has_long_ids);

    log_error(&queue->settings->speakers[SPEAKER_QMGR],
              "%s: its record in the queue cannot be read (%s); it is left alone: look at it with "
              "postcat -q %s, or delete it with postsuper -d %s",
              id.text, text, id.text, id.text);
}

/* NULL where it is gone, held, damaged, or to pass cleanup again. */
static struct message *read_message(struct queue *queue, uint64_t queue_id)
{
    struct buf *bytes = &queue->scratch;
    struct error error = { 0 };
    struct message *message = NULL;
    int64_t due_ms = 0;

    if (tools_are_changing(queue, queue_id) || requeue_has(queue, queue_id))
        return NULL;
    buf_clear(bytes);
    enum store_outcome outcome =
        store_read_envelope(queue->store, queue_id, bytes, &due_ms, &error);
    if (outcome == STORE_ABSENT)
        return NULL;
    if (outcome != STORE_OK || !message_new(queue, queue_id, buf_str(bytes), &message, &error)) {
        report_bad(queue, queue_id, error.message);
        return NULL;
    }
    if (message->envelope.flags & (ENVELOPE_HELD | ENVELOPE_REQUEUED)) {
        if (!(message->envelope.flags & ENVELOPE_HELD))
            requeue_add(queue, queue_id);
        message_free(&message);
        return NULL;
    }
    message->due_ms = due_ms;
    return message;
}

/* Active, or about to be. */
static bool is_known(const struct queue *queue, uint64_t queue_id)
{
    return active_find(queue, queue_id) != NULL || parking_has(queue, queue_id);
}

/* Each ends with a NUL. */
static struct str next_site(struct str *rest)
{
    struct str text = str_take(*rest, strnlen(rest->ptr, rest->len));

    *rest = str_skip(*rest, text.len + 1);
    return text;
}

static bool has_site(struct str sites, struct str site)
{
    while (sites.len > 0)
        if (str_equal_fold(next_site(&sites), site))
            return true;
    return false;
}

static bool is_for_sites(const struct message *message, struct str sites)
{
    for (size_t i = 0; i < message->envelope.recipient_count; i++)
        if (message->envelope.recipients[i].state == RECIPIENT_WAITING &&
            has_site(sites, address_domain(message->envelope.recipients[i].address)))
            return true;
    return false;
}

/* ---- the schedule ---- */

static void scan_schedule(struct queue *queue)
{
    struct backlog *backlog = &queue->backlog;
    struct store_due found[PORTION];
    int64_t now_ms = clock_wall_ms();
    size_t count =
        backlog->is_suspended ? 0 : store_scan_due(queue->store, backlog->cursor, found, PORTION);

    if (count == 0) {
        backlog->is_scanning = false;
        backlog->next_due_ms = INT64_MAX;
    }
    for (size_t i = 0; i < count; i++) {
        if (!retry_is_due(&queue->settings->retry, found[i].due_ms, now_ms)) {
            backlog->is_scanning = false;
            backlog->next_due_ms = found[i].due_ms;
            return;
        }
        if (!active_has_room(queue))
            return;
        backlog->cursor = (struct store_due){ found[i].due_ms, found[i].queue_id + 1 };
        struct message *message =
            is_known(queue, found[i].queue_id) ? NULL : read_message(queue, found[i].queue_id);
        if (message != NULL)
            active_take(queue, message);
    }
}

void backlog_add(struct queue *queue, uint64_t queue_id, int64_t due_ms)
{
    struct backlog *backlog = &queue->backlog;
    struct store_due *cursor = &backlog->cursor;

    if (due_ms == RETRY_NEVER_MS)
        return;
    if (due_ms < cursor->due_ms || (due_ms == cursor->due_ms && queue_id < cursor->queue_id))
        *cursor = (struct store_due){ due_ms, queue_id };
    if (due_ms >= backlog->next_due_ms)
        return;
    backlog->next_due_ms = due_ms;
    if (retry_is_due(&queue->settings->retry, due_ms, clock_wall_ms()))
        backlog->is_scanning = true;
    if (!backlog->is_scanning && !backlog->is_flushing)
        wait_for_next(queue);
    else if (active_has_room(queue))
        scan_soon(queue);
}

/* ---- a flush ---- */

static bool is_wanted(const struct queue *queue, const struct message *message)
{
    const struct backlog *backlog = &queue->backlog;

    if (backlog->is_far_only)
        return message->due_ms > clock_wall_ms() &&
               retry_is_due(&queue->settings->retry, message->due_ms, clock_wall_ms());
    return backlog->flush_sites.len == 0 || is_for_sites(message, buf_str(&backlog->flush_sites));
}

static void flush(struct queue *queue, uint64_t queue_id)
{
    bool is_asked_for = !queue->backlog.is_far_only;
    struct message *message = active_find(queue, queue_id);

    if (message != NULL) {
        if (is_asked_for && is_wanted(queue, message))
            message_retry(message);
        return;
    }
    message = parking_has(queue, queue_id) ? NULL : read_message(queue, queue_id);
    if (message == NULL)
        return;
    message->is_flushed = is_asked_for;
    if (is_wanted(queue, message))
        active_take(queue, message);
    else
        message_free(&message);
}

static void scan_flush(struct queue *queue)
{
    struct backlog *backlog = &queue->backlog;
    uint64_t found[PORTION];
    size_t count = store_scan_ids(queue->store, backlog->flush_from, found, PORTION);

    if (count == 0)
        backlog->is_flushing = false;
    for (size_t i = 0; i < count; i++) {
        if (found[i] >= backlog->flush_until) {
            backlog->is_flushing = false;
            return;
        }
        if (!active_has_room(queue))
            return;
        backlog->flush_from = found[i] + 1;
        flush(queue, found[i]);
    }
}

static void begin_flush(struct queue *queue, bool is_far_only)
{
    struct backlog *backlog = &queue->backlog;

    backlog->is_far_only = is_far_only;
    backlog->flush_from = 0;
    backlog->flush_until = queue->lease.next;
    backlog->is_flushing = true;
    scan_soon(queue);
}

/* For which sites the flush is that a new one for `site` becomes part of. */
static void add_site(struct backlog *backlog, struct str site)
{
    bool is_for_all = backlog->is_flushing && backlog->flush_sites.len == 0;

    if (!backlog->is_flushing)
        buf_clear(&backlog->flush_sites);
    if (site.len == 0 || is_for_all || backlog->flush_sites.len > SITES_BYTES_MAX) {
        buf_clear(&backlog->flush_sites);
    } else if (!has_site(buf_str(&backlog->flush_sites), site)) {
        buf_append(&backlog->flush_sites, site);
        buf_append_byte(&backlog->flush_sites, '\0');
    }
}

void backlog_flush(struct queue *queue, struct str site)
{
    queue->backlog.is_suspended = false;
    add_site(&queue->backlog, site);
    begin_flush(queue, false);
}

void backlog_clock_stepped_back(struct queue *queue)
{
    if (queue->backlog.is_flushing)
        return;
    buf_clear(&queue->backlog.flush_sites);
    begin_flush(queue, true);
}

bool backlog_take(struct queue *queue, uint64_t queue_id)
{
    struct message *message = active_find(queue, queue_id);

    if (message != NULL) {
        message_retry(message);
        return true;
    }
    message = read_message(queue, queue_id);
    if (message == NULL)
        return false;
    message->is_flushed = true;
    parking_forget(queue, queue_id);
    active_take_now(queue, message);
    scheduler_run(queue);
    return true;
}

/* ---- what was kept back ---- */

static void take_kept_back(struct queue *queue, uint64_t queue_id)
{
    struct message *message =
        active_find(queue, queue_id) != NULL ? NULL : read_message(queue, queue_id);

    if (message == NULL)
        return;
    if (retry_is_due(&queue->settings->retry, message->due_ms, clock_wall_ms()))
        active_take_now(queue, message);
    else
        message_free(&message); /* an operator had it tried meanwhile */
}

static void refill(struct queue *queue)
{
    uint64_t queue_id;

    for (int i = 0; i < PORTION && active_has_room(queue) && parking_next(queue, &queue_id); i++)
        take_kept_back(queue, queue_id);
    for (int i = 0; i < PORTION && active_has_room(queue) && budget_has_next(queue); i++)
        if (budget_next(queue, &queue_id))
            take_kept_back(queue, queue_id);
}

static bool has_more(const struct queue *queue)
{
    const struct backlog *backlog = &queue->backlog;

    return backlog->is_scanning || backlog->is_flushing ||
           !list_is_empty(&queue->scheduler.shorts) || budget_has_next(queue);
}

/* ---- when ---- */

static void scan_expired(struct timer *timer)
{
    struct queue *queue = list_entry(timer, struct queue, backlog.timer);
    struct backlog *backlog = &queue->backlog;

    queue_check_clock(queue);
    if (queue->scheduler.is_draining)
        return;
    backlog->is_scanning = true;
    refill(queue);
    if (backlog->is_flushing)
        scan_flush(queue);
    scan_schedule(queue);
    scheduler_run(queue);
    if (!has_more(queue))
        wait_for_next(queue);
    else if (active_has_room(queue))
        scan_soon(queue);
    /* Otherwise backlog_room goes on. */
}

void backlog_room(struct queue *queue)
{
    if (has_more(queue) && active_has_room(queue))
        scan_soon(queue);
}

void backlog_refill(struct queue *queue)
{
    if (active_has_room(queue))
        scan_soon(queue);
}

void backlog_init(struct queue *queue)
{
    queue->backlog.next_due_ms = INT64_MAX;
    queue->backlog.timer.expired = scan_expired;
}

/* A clock that stood ahead before the last stop may have left mail far in the future. */
static bool has_far_mail(struct queue *queue)
{
    struct store_due from = { clock_wall_ms() + retry_farthest_ms(&queue->settings->retry) + 1, 0 };
    struct store_due found;

    return store_scan_due(queue->store, from, &found, 1) == 1 && found.due_ms != RETRY_NEVER_MS;
}

void backlog_start(struct queue *queue)
{
    if (store_was_repaired(queue->store)) {
        queue->backlog.is_suspended = true;
        log_warning(&queue->settings->speakers[SPEAKER_QMGR],
                    "the queue was repaired: mail in it may have been delivered before, so it "
                    "waits; look at it with mailq, then release it with postqueue -f");
        return;
    }
    queue->backlog.is_scanning = true;
    if (has_far_mail(queue))
        backlog_clock_stepped_back(queue);
    scan_soon(queue);
}

void backlog_clear(struct queue *queue)
{
    timer_clear(queue->loop, &queue->backlog.timer);
    buf_free(&queue->backlog.flush_sites);
}
