/* SPDX-License-Identifier: Apache-2.0 */
#include "bounce.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/memory.h"
#include "mail/address.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/log_line.h"
#include "queue.h"

enum { HEAD_BYTES = 128 * 1024 }; /* so much is read where only headers go back */

/* RFC 3461: NEVER, or a list without FAILURE, asks for silence. */
static bool wants_failure(const struct recipient *recipient)
{
    return recipient->dsn_notify == 0 || (recipient->dsn_notify & DSN_NOTIFY_FAILURE);
}

/* Whom a notification is from and to. */
struct address_pair {
    struct str sender;
    struct str recipient;
    bool is_to_postmaster;
};

/* False: nobody is told. */
static bool choose_addresses(struct message *original, struct arena *arena,
                             struct address_pair *pair)
{
    const struct settings *settings = original->queue->settings;
    struct str sender = original->envelope.sender;
    struct str last =
        str_from(arena_printf(arena, "%.*s@%.*s", STR_ARGS(settings->double_bounce_sender),
                              STR_ARGS(settings->config->myhostname)));

    *pair = (struct address_pair){ .recipient = sender };
    if (str_equal_fold(sender, last)) {
        log_warning(&settings->speakers[SPEAKER_BOUNCE],
                    "%s: undeliverable postmaster notification discarded", original->id.text);
        return false;
    }
    if (sender.len > 0)
        return true;
    *pair = (struct address_pair){ .sender = last,
                                   .recipient = settings->double_bounce_recipient,
                                   .is_to_postmaster = true };
    return settings->notifies_double_bounces;
}

static size_t choose_recipients(struct message *original, struct arena *arena,
                                bool is_to_postmaster, struct dsn_recipient **chosen)
{
    const struct envelope *envelope = &original->envelope;
    size_t count = 0;

    *chosen = arena_new_array(arena, envelope->recipient_count, sizeof **chosen);
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        if (original->verdicts[i] != VERDICT_BOUNCED ||
            (!is_to_postmaster && !wants_failure(&envelope->recipients[i])))
            continue;
        (*chosen)[count] = original->reports[i];
        (*chosen)[count].action = STR("failed"); /* also where it was a delay that went on */
        count++;
    }
    return count;
}

static void format_content(struct message *original, const struct queue_id_text *id,
                           const struct dsn_recipient *recipients, size_t count, struct buf *out)
{
    struct queue *queue = original->queue;
    const struct settings *settings = queue->settings;
    const struct config *config = settings->config;
    uint64_t limit = settings->bounce_size_limit;
    autofree_buf struct buf head = { 0 };
    struct error error = { 0 };
    struct dsn dsn = {
        .kind = DSN_FAILURE,
        .myhostname = config->myhostname,
        .mail_name = config->mail_name,
        .queue_id = message_id_text(original),
        .notification_id = str_from(id->text),
        .envelope = &original->envelope,
        .recipients = recipients,
        .recipient_count = count,
        .wall_s = clock_wall_ms() / 1000,
        .content_bytes = original->envelope.content_bytes,
        .bounce_size_limit = limit,
    };

    if (content_read_head(original, limit > HEAD_BYTES ? limit : HEAD_BYTES, &head, &error) !=
        STORE_OK)
        log_warning(&settings->speakers[SPEAKER_BOUNCE],
                    "%s: the notification goes out without the message: %s", original->id.text,
                    error.message);
    dsn.content = buf_str(&head);
    buf_printf(out, "Received: by %.*s (%.*s)\r\n\tid %s; ", STR_ARGS(config->myhostname),
               STR_ARGS(config->mail_name), id->text);
    date_format_mail(dsn.wall_s, out);
    buf_append(out, STR("\r\n"));
    dsn_format(&dsn, out);
}

static uint64_t size_without_returns(struct str content)
{
    uint64_t size = content.len;

    for (const char *at = content.ptr, *end = at + content.len;
         at < end && (at = memchr(at, '\r', (size_t)(end - at))) != NULL; at++)
        size--;
    return size;
}

/* What cleanup does to a notice: the sender it goes to may be an alias. False: not now. */
static bool clean_up(struct message *original, const struct queue_id_text *id, struct arena *arena,
                     struct envelope *envelope, struct buf *content)
{
    const struct settings *settings = original->queue->settings;
    autofree_buf struct buf given = *content;
    struct cleanup_message message = {
        .arena = arena,
        .envelope = envelope,
        .queue_id = str_from(id->text),
        .parts = CLEANUP_INTERNAL,
        .origin = HEADERS_LOCAL,
    };

    *content = (struct buf){ 0 };
    return cleanup_run(settings->cleanup, &message, buf_str(&given), content) == CLEANUP_DONE;
}

/* NULL where cleanup refuses it. `content` is as it will be stored. */
static struct message *make_message(struct message *original, uint64_t queue_id,
                                    const struct queue_id_text *id, const struct address_pair *pair,
                                    struct buf *content)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf encoded = { 0 };
    struct error error = { 0 };
    struct message *notice;
    struct envelope envelope = {
        .sender = pair->sender,
        .flags = ENVELOPE_BOUNCE | ENVELOPE_LOCAL |
                 (original->envelope.flags & (ENVELOPE_SMTPUTF8 | ENVELOPE_8BITMIME)),
        .arrival_us = clock_wall_us(),
    };

    envelope_add_recipient(&arena, &envelope, &(struct recipient){ .address = pair->recipient });
    if (!clean_up(original, id, &arena, &envelope, content))
        return NULL;
    envelope.size_bytes = size_without_returns(buf_str(content));
    envelope.content_bytes = content->len;
    envelope_encode(&envelope, &encoded);
    ensure(message_new(original->queue, queue_id, buf_str(&encoded), &notice, &error));
    return notice;
}

/* Nobody can be told just now: those that failed wait, as in Postfix. */
static void defer_failed(struct message *original)
{
    for (size_t i = 0; i < original->envelope.recipient_count; i++)
        if (original->verdicts[i] == VERDICT_BOUNCED)
            original->verdicts[i] = VERDICT_DEFERRED;
}

static struct message *make_notice(struct message *original, uint64_t queue_id,
                                   const struct address_pair *pair,
                                   const struct dsn_recipient *recipients, size_t count)
{
    struct queue_id_text id = queue_id_format(queue_id, original->queue->settings->has_long_ids);
    struct buf content = { 0 };

    format_content(original, &id, recipients, count, &content);
    struct message *notice = make_message(original, queue_id, &id, pair, &content);
    if (notice == NULL) {
        buf_free(&content);
        defer_failed(original);
        return NULL;
    }
    notice->notice_of = original;
    /* Its bytes wait for the commit in the message, whatever their size. */
    notice->update = content;
    return notice;
}

bool bounce_make(struct message *original, struct message **notice)
{
    autoclear_arena struct arena scratch = { 0 };
    struct address_pair pair;
    struct dsn_recipient *recipients;
    uint64_t queue_id;
    size_t count = 0;

    *notice = NULL;
    if (choose_addresses(original, &scratch, &pair))
        count = choose_recipients(original, &scratch, pair.is_to_postmaster, &recipients);
    if (count > 0 && !lease_take(original->queue, 1, &queue_id))
        return false;
    if (count > 0)
        *notice = make_notice(original, queue_id, &pair, recipients, count);
    return true;
}

static void log_notification(const struct message *original, const struct message *notice)
{
    struct queue *queue = notice->queue;
    struct buf *line = &queue->scratch;

    buf_clear(line);
    log_line_notification(message_id_text(original),
                          notice->envelope.sender.len > 0 ? NOTIFICATION_POSTMASTER
                                                          : NOTIFICATION_FAILURE,
                          message_id_text(notice), line);
    log_write_text(&queue->settings->speakers[SPEAKER_BOUNCE], SEVERITY_INFO, buf_str(line));
}

static void notice_done(struct commit_request *request)
{
    struct message *notice = list_entry(request, struct message, request);
    struct message *original = notice->notice_of;

    notice->is_committing = false;
    if (request->outcome != STORE_OK)
        return; /* the original's end failed with it, and both are tried again */
    original->notice = NULL;
    notice->notice_of = NULL;
    log_notification(original, notice);
    content_keep(notice, request->content);
    buf_free(&notice->update);
    queue_accept(notice);
}

void bounce_submit(struct message *notice)
{
    notice->is_committing = true;
    notice->due_ms = clock_wall_ms();
    notice->request = (struct commit_request){
        .kind = COMMIT_MESSAGE,
        .queue_id = notice->queue_id,
        .envelope = str_of(notice->encoded, notice->encoded_len),
        .content = buf_str(&notice->update),
        .due_ms = notice->due_ms,
        .may_use_reserve = true,
        .is_with_next = true,
        .done = notice_done,
    };
    committer_submit(notice->queue->committer, &notice->request);
}
