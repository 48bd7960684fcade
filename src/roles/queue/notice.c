/* SPDX-License-Identifier: Apache-2.0 */
#include "notice.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "mail/date.h"
#include "own_mail.h"
#include "queue.h"

enum {
    HEAD_BYTES = 128 * 1024, /* so much is read where only headers go back */
    LONE_BYTES_MAX = 128 * 1024,
    RECIPIENT_BYTES_MAX = 1000,
};

static enum bounce_template_kind template_of(enum dsn_kind kind)
{
    switch (kind) {
    case DSN_FAILURE:
        return TEMPLATE_FAILURE;
    case DSN_DELAY:
        return TEMPLATE_DELAY;
    case DSN_SUCCESS:
        return TEMPLATE_SUCCESS;
    case DSN_REPORT:
    case DSN_KINDS:
        break;
    }
    return TEMPLATE_VERIFY;
}

static void put_received(const struct queue *queue, const struct queue_id_text *id, int64_t wall_s,
                         struct buf *out)
{
    const struct config *config = queue->settings->config;

    buf_printf(out, "Received: by %.*s (%.*s)\r\n\tid %s; ", STR_ARGS(config->myhostname),
               STR_ARGS(config->mail_name), id->text);
    date_format_mail(wall_s, out);
    buf_append(out, STR("\r\n"));
}

static void format_content(struct message *original, const struct queue_id_text *id,
                           const struct notice_order *order, struct buf *out)
{
    struct queue *queue = original->queue;
    const struct settings *settings = queue->settings;
    const struct config *config = settings->config;
    uint64_t limit = settings->bounce_size_limit;
    autofree_buf struct buf head = { 0 };
    struct error error = { 0 };
    struct dsn dsn = {
        .kind = order->kind,
        .template = &settings->templates.kinds[template_of(order->kind)],
        .is_for_postmaster = order->is_for_postmaster,
        .is_threaded = config->enable_threaded_bounces,
        .is_8bit = config->smtputf8_enable ||
                   (original->envelope.flags & (ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8)) != 0,
        .returns_headers = order->returns_headers,
        .to = order->recipient,
        .myhostname = config->myhostname,
        .mail_name = config->mail_name,
        .queue_id = message_id_text(original),
        .notification_id = str_from(id->text),
        .envelope = &original->envelope,
        .recipients = order->recipients,
        .recipient_count = order->recipient_count,
        .wall_s = clock_wall_ms() / 1000,
        .expires_s = (original->envelope.arrival_us / 1000 + settings->retry.lifetime_ms) / 1000,
        .content_bytes = original->envelope.content_bytes,
        .bounce_size_limit = limit,
    };

    if (content_read_head(original, limit > HEAD_BYTES ? limit : HEAD_BYTES, &head, &error) !=
        STORE_OK)
        log_warning(&settings->speakers[SPEAKER_BOUNCE],
                    "%s: the notification goes out without the message: %s", original->id.text,
                    error.message);
    dsn.content = buf_str(&head);
    put_received(queue, id, dsn.wall_s, out);
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

/* NULL where cleanup refuses it. `content` is as it will be stored; taken over. */
static struct message *make_message(struct queue *queue, uint64_t queue_id, struct str sender,
                                    struct str recipient, uint32_t flags, struct buf *content)
{
    struct queue_id_text id = queue_id_format(queue_id, queue->settings->has_long_ids);
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf encoded = { 0 };
    struct error error = { 0 };
    struct message *notice;
    struct envelope envelope = {
        .sender = sender,
        .flags = ENVELOPE_BOUNCE | ENVELOPE_LOCAL | flags,
        .arrival_us = clock_wall_us(),
    };

    envelope_add_recipient(&arena, &envelope, &(struct recipient){ .address = recipient });
    if (!own_mail_clean_up(queue, &id, &arena, &envelope, content)) {
        buf_free(content);
        return NULL;
    }
    envelope.size_bytes = size_without_returns(buf_str(content));
    envelope.content_bytes = content->len;
    envelope_encode(&envelope, &encoded);
    ensure(message_new(queue, queue_id, buf_str(&encoded), &notice, &error));
    /* Its bytes wait for the commit in the message, whatever their size. */
    notice->update = *content;
    return notice;
}

static bool has_8bit(struct str content)
{
    unsigned char all = 0;

    for (size_t i = 0; i < content.len; i++)
        all |= (unsigned char)content.ptr[i];
    return all >= 0x80;
}

bool notice_make(struct message *original, uint64_t queue_id, const struct notice_order *order)
{
    struct queue *queue = original->queue;
    struct queue_id_text id = queue_id_format(queue_id, queue->settings->has_long_ids);
    uint32_t flags = original->envelope.flags & (ENVELOPE_SMTPUTF8 | ENVELOPE_8BITMIME);
    struct buf content = { 0 };

    format_content(original, &id, order, &content);
    if (queue->settings->config->smtputf8_enable || has_8bit(buf_str(&content)))
        flags |= ENVELOPE_8BITMIME; /* as the notice's headers say */
    struct message *notice =
        make_message(queue, queue_id, order->sender, order->recipient, flags, &content);
    if (notice == NULL)
        return false;
    notice->notice_of = original;
    notice->notification = order->notification;
    list_append(&original->notices, &notice->notice_link);
    return true;
}

static void log_notification(const struct message *original, const struct message *notice)
{
    struct queue *queue = notice->queue;
    struct buf *line = &queue->scratch;

    buf_clear(line);
    log_line_notification(message_id_text(original), notice->notification, message_id_text(notice),
                          line);
    log_write_text(&queue->settings->speakers[SPEAKER_BOUNCE], SEVERITY_INFO, buf_str(line));
}

/* It is new mail from now on. */
static void go(struct message *notice)
{
    content_keep(notice, notice->request.content);
    buf_free(&notice->update);
    queue_accept(notice);
}

static void notice_done(struct commit_request *request)
{
    struct message *notice = list_entry(request, struct message, request);

    notice->is_committing = false;
    if (request->outcome != STORE_OK)
        return; /* the original's end failed with it, and both are tried again */
    list_remove(&notice->notice_link);
    log_notification(notice->notice_of, notice);
    notice->notice_of = NULL;
    go(notice);
}

static void submit(struct message *notice, bool is_with_next,
                   void (*done)(struct commit_request *request))
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
        .is_with_next = is_with_next,
        .done = done,
    };
    committer_submit(notice->queue->committer, &notice->request);
}

void notices_submit(struct message *original)
{
    list_each (link, &original->notices)
        submit(list_entry(link, struct message, notice_link), true, notice_done);
}

/* A lone notice that could not be written is lost, and the log says so: nothing depends on it. */
static void lone_done(struct commit_request *request)
{
    struct message *notice = list_entry(request, struct message, request);

    notice->is_committing = false;
    if (request->outcome == STORE_OK) {
        go(notice);
        return;
    }
    log_warning(&notice->queue->settings->speakers[SPEAKER_BOUNCE],
                "%s: postmaster notice lost: the queue cannot write it", notice->id.text);
    message_free(&notice);
}

static struct message *make_lone(struct queue *queue, struct str recipient, struct str content)
{
    autoclear_arena struct arena scratch = { 0 };
    int64_t wall_s = clock_wall_ms() / 1000;
    struct buf made = { 0 };
    uint64_t queue_id;

    if (!queue->intake.is_gate_open || !lease_take(queue, 1, &queue_id))
        return NULL;
    struct queue_id_text id = queue_id_format(queue_id, queue->settings->has_long_ids);
    put_received(queue, &id, wall_s, &made);
    buf_append(&made, STR("Date: "));
    date_format_mail(wall_s, &made);
    buf_append(&made, STR("\r\n"));
    buf_append(&made, content);
    return make_message(queue, queue_id, settings_double_bounce_address(queue->settings, &scratch),
                        recipient, 0, &made);
}

/* An envelope takes none. */
static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    return false;
}

bool notice_send(struct queue *queue, struct str recipient, struct str content)
{
    if (recipient.len > RECIPIENT_BYTES_MAX || content.len > LONE_BYTES_MAX ||
        has_control(recipient) || str_find_byte(content, '\0') >= 0)
        return false;
    struct message *notice = recipient.len > 0 ? make_lone(queue, recipient, content) : NULL;
    if (notice != NULL)
        submit(notice, false, lone_done);
    else
        log_warning(&queue->settings->speakers[SPEAKER_BOUNCE],
                    "a notice to the postmaster was dropped: it cannot be queued now");
    return true;
}
