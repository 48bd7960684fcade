/* SPDX-License-Identifier: Apache-2.0 */
#include "bounce.h"

#include "mail/verp.h"
#include "notice.h"
#include "queue.h"

/* Of one end of a message; all of them are in memory until they are committed. */
enum { VERP_NOTICES_MAX = 200 };

/* A notice to be made. */
struct order {
    struct order *next;
    struct notice_order notice;
};

/* All notices of one end of a message. */
struct plan {
    struct message *original;
    struct arena arena;
    struct order *first, **last;
    uint32_t count;
};

/* ---- who is told of what ---- */

typedef bool recipient_test(const struct message *message, size_t index);

/* RFC 3461: NEVER, or a list without FAILURE, asks for silence. */
static bool asks_for(const struct recipient *recipient, uint8_t bit)
{
    return recipient->dsn_notify == 0 || (recipient->dsn_notify & bit) != 0;
}

static bool has_failed(const struct message *message, size_t index)
{
    return message->verdicts[index] == VERDICT_BOUNCED;
}

static bool has_failed_and_is_told(const struct message *message, size_t index)
{
    return has_failed(message, index) &&
           asks_for(&message->envelope.recipients[index], DSN_NOTIFY_FAILURE);
}

static bool is_late(const struct message *message, size_t index)
{
    return message->verdicts[index] == VERDICT_DEFERRED;
}

static bool is_late_and_is_told(const struct message *message, size_t index)
{
    return is_late(message, index) &&
           asks_for(&message->envelope.recipients[index], DSN_NOTIFY_DELAY);
}

static bool is_unreported(const struct message *message, size_t index)
{
    return message->envelope.recipients[index].state == RECIPIENT_UNREPORTED;
}

static bool was_tried(const struct message *message, size_t index)
{
    return is_unreported(message, index) || has_failed(message, index) || is_late(message, index);
}

static struct str action_of(const struct message *message, size_t index)
{
    if (is_unreported(message, index))
        return dsn_action_name(message->envelope.recipients[index].dsn_action);
    return message->verdicts[index] == VERDICT_DEFERRED ? STR("delayed") : STR("failed");
}

static void choose(struct plan *plan, recipient_test *test, struct notice_order *notice)
{
    const struct message *original = plan->original;
    size_t count = original->envelope.recipient_count;
    struct dsn_recipient *chosen = arena_new_array(&plan->arena, count + 1, sizeof *chosen);

    for (size_t i = 0; i < count; i++) {
        if (!test(original, i))
            continue;
        struct dsn_recipient *one = &chosen[notice->recipient_count++];
        *one = original->reports != NULL ? original->reports[i] : (struct dsn_recipient){ 0 };
        one->recipient = &original->envelope.recipients[i];
        one->action = action_of(original, i);
        if (notice->kind != DSN_REPORT)
            one->told = STR("");
    }
    notice->recipients = chosen;
}

/* ---- the plan ---- */

static void add(struct plan *plan, const struct notice_order *notice)
{
    if (notice->recipient_count == 0)
        return;
    struct order *order = arena_new(&plan->arena, sizeof *order);
    order->notice = *notice;
    *plan->last = order;
    plan->last = &order->next;
    plan->count++;
}

static void add_for_sender(struct plan *plan, enum dsn_kind kind, enum notification notification,
                           recipient_test *test)
{
    const struct envelope *envelope = &plan->original->envelope;
    struct notice_order notice = {
        .kind = kind,
        .notification = notification,
        .recipient = envelope->sender,
        .returns_headers =
            kind != DSN_FAILURE || (envelope->flags & ENVELOPE_RET_HEADERS) != 0,
    };

    choose(plan, test, &notice);
    add(plan, &notice);
}

/* The sender has an address of its own for each recipient: each failure has its own notice. */
static void add_for_verp_sender(struct plan *plan)
{
    const struct envelope *envelope = &plan->original->envelope;
    struct notice_order all = { .kind = DSN_FAILURE };

    choose(plan, has_failed_and_is_told, &all);
    for (size_t i = 0; i < all.recipient_count; i++)
        add(plan, &(struct notice_order){
                      .kind = DSN_FAILURE,
                      .notification = NOTIFICATION_FAILURE,
                      .recipient = verp_address(&plan->arena, envelope->verp, envelope->sender,
                                                all.recipients[i].recipient->address),
                      .returns_headers = (envelope->flags & ENVELOPE_RET_HEADERS) != 0,
                      .recipients = &all.recipients[i],
                      .recipient_count = 1,
                  });
}

static struct str double_bounce_address(struct plan *plan)
{
    const struct settings *settings = plan->original->queue->settings;

    return settings_double_bounce_address(settings, &plan->arena);
}

static void add_for_postmaster(struct plan *plan, enum dsn_kind kind, struct str recipient,
                               recipient_test *test, bool returns_headers)
{
    struct notice_order notice = {
        .kind = kind,
        .notification =
            kind == DSN_DELAY ? NOTIFICATION_POSTMASTER_DELAY : NOTIFICATION_POSTMASTER,
        .is_for_postmaster = true,
        .returns_headers = returns_headers,
        .sender = double_bounce_address(plan),
        .recipient = recipient,
    };

    choose(plan, test, &notice);
    add(plan, &notice);
}

static bool is_double_bounce(struct plan *plan)
{
    return str_equal_fold(plan->original->envelope.sender, double_bounce_address(plan));
}

static void plan_failure(struct plan *plan)
{
    const struct message *original = plan->original;
    const struct settings *settings = original->queue->settings;
    const struct config *config = settings->config;
    const struct envelope *envelope = &original->envelope;

    if (is_double_bounce(plan)) {
        log_warning(&settings->speakers[SPEAKER_BOUNCE],
                    "%s: undeliverable postmaster notification discarded", original->id.text);
        return;
    }
    if (envelope->sender.len == 0) {
        if (settings->notified & ERROR_CLASS_2BOUNCE)
            add_for_postmaster(plan, DSN_FAILURE, config->second_bounce_notice_recipient,
                               has_failed, false);
        return;
    }
    if (envelope->verp.len > 0 && !config->disable_verp_bounces)
        add_for_verp_sender(plan);
    else
        add_for_sender(plan, DSN_FAILURE, NOTIFICATION_FAILURE, has_failed_and_is_told);
    if (settings->notified & ERROR_CLASS_BOUNCE)
        add_for_postmaster(plan, DSN_FAILURE, config->bounce_notice_recipient, has_failed, true);
}

static void plan_delay(struct plan *plan)
{
    const struct settings *settings = plan->original->queue->settings;

    if (plan->original->envelope.sender.len == 0 || is_double_bounce(plan))
        return;
    add_for_sender(plan, DSN_DELAY, NOTIFICATION_DELAY, is_late_and_is_told);
    if (settings->notified & ERROR_CLASS_DELAY)
        add_for_postmaster(plan, DSN_DELAY, settings->config->delay_notice_recipient, is_late,
                           true);
}

static void plan_success(struct plan *plan)
{
    const struct envelope *envelope = &plan->original->envelope;

    if (envelope->sender.len == 0 || is_double_bounce(plan))
        return;
    if (envelope->flags & (ENVELOPE_REPORT | ENVELOPE_VERIFY))
        add_for_sender(plan, DSN_REPORT, NOTIFICATION_SUCCESS, was_tried);
    else
        add_for_sender(plan, DSN_SUCCESS, NOTIFICATION_SUCCESS, is_unreported);
}

/* ---- making them ---- */

/* Nobody can be told just now: those that failed wait, as in Postfix. */
static void defer_failed(struct message *original)
{
    for (size_t i = 0; i < original->envelope.recipient_count; i++)
        if (original->verdicts[i] == VERDICT_BOUNCED)
            original->verdicts[i] = VERDICT_DEFERRED;
}

/* What cleanup did not take, as bits of the kinds. */
static unsigned make_all(struct plan *plan, uint64_t queue_id)
{
    unsigned refused = 0;

    for (const struct order *each = plan->first; each != NULL; each = each->next) {
        unsigned bit = 1u << each->notice.kind;
        if ((refused & bit) == 0 && !notice_make(plan->original, queue_id, &each->notice) &&
            !each->notice.is_for_postmaster)
            refused |= bit;
        queue_id++;
    }
    return refused;
}

static void settle_success(struct message *original)
{
    for (size_t i = 0; i < original->envelope.recipient_count; i++) {
        struct recipient *recipient = &original->envelope.recipients[i];
        if (recipient->state == RECIPIENT_UNREPORTED)
            recipient->state = RECIPIENT_DELIVERED;
    }
    original->envelope.flags &= ~(uint32_t)(ENVELOPE_REPORT | ENVELOPE_VERIFY);
}

/* A mailing that failed for all makes a notice for each with VERP: the rest is tried again, and
 * told of then. */
static void bound_verp_notices(struct message *original)
{
    size_t count = 0;

    if (original->envelope.verp.len == 0 || original->queue->settings->config->disable_verp_bounces)
        return;
    for (size_t i = 0; i < original->envelope.recipient_count; i++)
        if (has_failed_and_is_told(original, i) && ++count > VERP_NOTICES_MAX)
            original->verdicts[i] = VERDICT_DEFERRED;
}

bool bounce_make(struct message *original, const struct bounce_needs *needs)
{
    struct plan plan = { .original = original };
    uint64_t queue_id = 0;

    plan.last = &plan.first;
    bound_verp_notices(original);
    if (needs->has_failed)
        plan_failure(&plan);
    if (needs->is_delayed)
        plan_delay(&plan);
    plan_success(&plan);
    bool has_ids = plan.count == 0 || lease_take(original->queue, plan.count, &queue_id);
    if (has_ids) {
        unsigned refused = make_all(&plan, queue_id);
        if (refused & 1u << DSN_FAILURE)
            defer_failed(original);
        if (needs->is_delayed && !(refused & 1u << DSN_DELAY))
            original->envelope.flags |= ENVELOPE_DELAY_WARNED;
        if (!(refused & (1u << DSN_SUCCESS | 1u << DSN_REPORT)))
            settle_success(original);
    }
    arena_clear(&plan.arena);
    return has_ids;
}
