/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include "base/ensure.h"
#include "base/file.h"
#include "base/memory.h"
#include "mail/verp.h"
#include "queue.h"

enum {
    DIAGNOSTIC_BYTES_MAX = 512,
    DSN_STATUS_BYTES_MAX = 11, /* "5.123.123" and a little */
};

bool message_new(struct queue *queue, uint64_t queue_id, struct str envelope,
                 struct message **message, struct error *error)
{
    struct message *made = memory_new(sizeof *made);

    made->queue = queue;
    made->queue_id = queue_id;
    made->id = queue_id_format(queue_id, queue->settings->has_long_ids);
    made->content_fd = -1;
    list_init(&made->waiting_link);
    list_init(&made->attempts);
    list_init(&made->notices);
    list_init(&made->notice_link);
    made->encoded = memory_resize(NULL, envelope.len + 1);
    memcpy(made->encoded, envelope.ptr, envelope.len);
    made->encoded_len = envelope.len;
    if (!envelope_decode(&made->arena, str_of(made->encoded, envelope.len), &made->envelope,
                         error)) {
        message_free(&made);
        return false;
    }
    made->verdicts =
        arena_new_array(&made->arena, made->envelope.recipient_count + 1, sizeof *made->verdicts);
    *message = made;
    return true;
}

void message_free(struct message **message)
{
    struct message *gone = *message;

    if (gone == NULL)
        return;
    ensure(gone->attempts_open == 0 && !gone->is_committing);
    list_remove(&gone->waiting_link);
    list_each_removable (link, &gone->notices) {
        struct message *notice = list_entry(link, struct message, notice_link);
        message_free(&notice);
    }
    list_remove(&gone->notice_link);
    fd_close(&gone->content_fd);
    memory_free(gone->content);
    memory_free(gone->encoded);
    buf_free(&gone->update);
    arena_clear(&gone->arena);
    memory_free(gone);
    *message = NULL;
}

struct str message_id_text(const struct message *message)
{
    return str_from(message->id.text);
}

/* "C.S.D" with a class that fits the status; anything else becomes the class alone. */
static struct str checked_status(struct arena *arena, struct str dsn, enum delivery_status status)
{
    char class = status == DELIVERY_SENT ? '2' : status == DELIVERY_BOUNCED ? '5' : '4';
    size_t dots = 0;
    bool is_good = dsn.len >= 5 && dsn.len <= DSN_STATUS_BYTES_MAX && dsn.ptr[0] == class;

    for (size_t i = 0; is_good && i < dsn.len; i++) {
        if (dsn.ptr[i] == '.')
            dots++;
        else
            is_good = ascii_is_digit(dsn.ptr[i]);
    }
    if (is_good && dots == 2)
        return arena_copy(arena, dsn);
    return str_from(class == '2' ? "2.0.0" : class == '5' ? "5.0.0" : "4.0.0");
}

static struct str bounded_copy(struct arena *arena, struct str text)
{
    return arena_copy(arena, str_take(text, DIAGNOSTIC_BYTES_MAX));
}

/* What a notice says of it, where it is none of a failure: that it went by some server. */
static struct str told_diagnostic(struct arena *arena, const struct result *result)
{
    struct str text = str_take(result->diagnostic, DIAGNOSTIC_BYTES_MAX);

    if (result->relay.len == 0 || str_equal(result->relay, STR("none")))
        return arena_copy(arena, text);
    return str_from(arena_printf(arena, "delivery via %.*s: %.*s",
                                 STR_ARGS(str_take(result->relay, DIAGNOSTIC_BYTES_MAX)),
                                 STR_ARGS(text)));
}

/* Whether the sender hears of a delivery: it asked for that, or was told of a delay before. */
static bool wants_success(const struct message *message, const struct recipient *recipient,
                          const struct result *result)
{
    const struct settings *settings = message->queue->settings;
    uint32_t flags = message->envelope.flags;

    if (flags & (ENVELOPE_REPORT | ENVELOPE_VERIFY))
        return true;
    if ((recipient->dsn_notify & DSN_NOTIFY_SUCCESS) != 0)
        return result->action != DSN_ACTION_PASSED_ON;
    return (flags & ENVELOPE_DELAY_WARNED) != 0 && settings->config->confirm_delay_cleared &&
           (recipient->dsn_notify == 0 || (recipient->dsn_notify & DSN_NOTIFY_DELAY) != 0);
}

static void record_report(struct message *message, size_t index, const struct result *result)
{
    if (message->reports == NULL)
        message->reports = arena_new_array(&message->arena, message->envelope.recipient_count,
                                           sizeof *message->reports);
    message->reports[index] = (struct dsn_recipient){
        .recipient = &message->envelope.recipients[index],
        .remote_mta = bounded_copy(&message->arena, result->remote_mta),
        .smtp_reply = bounded_copy(&message->arena, result->smtp_reply),
        .told = told_diagnostic(&message->arena, result),
    };
}

static void count_result(struct completion *completion, enum delivery_status status)
{
    if (status == DELIVERY_SENT)
        completion->delivered_total++;
    else if (status == DELIVERY_BOUNCED)
        completion->bounced_total++;
    else
        completion->deferred_total++;
}

/* What the sender is told was done. */
static enum dsn_action action_of(const struct message *message, const struct result *result)
{
    if (message_is_verification(message))
        return result->status == DELIVERY_SENT ? DSN_ACTION_DELIVERABLE : DSN_ACTION_UNDELIVERABLE;
    return result->action != DSN_ACTION_NONE ? result->action : DSN_ACTION_DELIVERED;
}

void message_record(struct message *message, size_t index, const struct result *result)
{
    struct recipient *recipient = &message->envelope.recipients[index];

    message->verdicts[index] = (uint8_t)result->status;
    if (result->status == DELIVERY_UNDONE)
        return;
    count_result(&message->queue->completion, result->status);
    message->is_changed = true;
    if (result->status == DELIVERY_SENT && !wants_success(message, recipient, result)) {
        recipient->state = RECIPIENT_DELIVERED;
        if (message_is_probe(message))
            recipient->diagnostic = bounded_copy(&message->arena, result->diagnostic);
        return;
    }
    recipient->dsn_status = checked_status(&message->arena, result->dsn, result->status);
    recipient->diagnostic = bounded_copy(&message->arena, result->diagnostic);
    if (result->status == DELIVERY_SENT || message_is_verification(message)) {
        recipient->state = RECIPIENT_UNREPORTED;
        recipient->dsn_action = (uint8_t)action_of(message, result);
        recipient->diagnostic = told_diagnostic(&message->arena, result);
        message->verdicts[index] = VERDICT_SENT; /* nothing more is to be done for it */
    }
    record_report(message, index, result);
}

bool message_has_verdict(const struct message *message, enum verdict verdict)
{
    for (size_t i = 0; i < message->envelope.recipient_count; i++)
        if (message->verdicts[i] == verdict)
            return true;
    return false;
}

void message_retry(struct message *message)
{
    if (message_has_verdict(message, VERDICT_DEFERRED))
        message->is_to_retry = true;
}

void message_readdress(struct message *message, size_t recipient, struct str address)
{
    struct recipient *changed = &message->envelope.recipients[recipient];

    if (changed->original_recipient.len == 0)
        changed->original_recipient = changed->address;
    changed->address = arena_copy(&message->arena, address);
    message->is_changed = true;
}

void message_encode_part(struct message *message, const uint32_t *recipients, size_t count,
                         struct arena *scratch, struct buf *out)
{
    const struct envelope *whole = &message->envelope;

    if (!message->is_changed && count == whole->recipient_count && whole->verp.len == 0 &&
        !message_is_verification(message)) {
        buf_append(out, str_of(message->encoded, message->encoded_len));
        return;
    }
    struct envelope part = *whole;
    if (message_is_verification(message))
        part.flags |= ENVELOPE_PROBE;
    if (whole->verp.len > 0 && count == 1)
        part.sender = verp_address(scratch, whole->verp, whole->sender,
                                   whole->recipients[recipients[0]].address);
    part.recipients = arena_new_array(scratch, count, sizeof *part.recipients);
    part.recipient_count = part.recipient_capacity = count;
    for (size_t i = 0; i < count; i++) {
        part.recipients[i] = whole->recipients[recipients[i]];
        part.recipients[i].diagnostic = STR(""); /* of an attempt before: of no use to this one */
    }
    envelope_encode(&part, out);
}
