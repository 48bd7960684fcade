/* SPDX-License-Identifier: Apache-2.0 */
#include "intake.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/map.h"
#include "content.h"
#include "mail/header.h"
#include "mail/log_line.h"
#include "mail/maildrop_file.h"
#include "mail/queue_id.h"
#include "mail/received.h"
#include "mail/rewrite.h"
#include "mail/verp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PREFIX_BYTES = 1024 * 1024, /* what may be headers; the rest is never looked into */
    PORTION_BYTES = 64 * 1024,
    WAIT_ID_MS = 10 * 1000,
    WAIT_SEND_MS = 60 * 1000,
    WAIT_ANSWER_MS = 300 * 1000,
};

/* The message as it is being made. */
struct making {
    const struct intake *intake;
    struct arena arena;
    struct maildrop_file file;
    struct envelope envelope; /* as the queue gets it */
    struct queue_id_text id;
    struct submission_message message;
    struct content content;
    struct cleanup_message cleanup;
    struct message_actions actions;
    bool is_rejected;     /* for good, by a check */
    struct str rejection; /* of the first try: "5.7.1 text"; this one is to bounce */
    struct buf out;       /* content that waits to be sent */
    uint64_t sent_bytes;
    uint64_t sent_lines;
    struct error error;
};

static enum intake_outcome try_again(const struct making *making)
{
    if (making->is_rejected)
        return INTAKE_TRY_AGAIN;
    log_warning(&making->intake->pickup_log, "maildrop file %s stays: %s", making->intake->name,
                making->error.message);
    return INTAKE_TRY_AGAIN;
}

/* Links, fifos and the like hold nothing that could be lost. */
static bool remove_special(const struct intake *intake)
{
    struct stat status;

    return fstatat(intake->folder_fd, intake->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode) &&
           unlinkat(intake->folder_fd, intake->name, 0) == 0;
}

/* What can never become mail is kept for the operator, out of the way. */
static enum intake_outcome set_aside(const struct making *making)
{
    const struct intake *intake = making->intake;

    if (remove_special(intake)) {
        log_warning(&intake->pickup_log, "maildrop entry %s was removed: it is no regular file",
                    intake->name);
        return INTAKE_TAKEN;
    }
    if (intake->corrupt_fd >= 0 &&
        renameat(intake->folder_fd, intake->name, intake->corrupt_fd, intake->name) == 0) {
        log_warning(&intake->pickup_log, "maildrop file %s was moved to the folder corrupt: %s",
                    intake->name, making->error.message);
        return INTAKE_TAKEN;
    }
    log_error(&intake->pickup_log,
              "maildrop file %s is left where it is (%s), and it cannot be moved to the folder "
              "corrupt: %s",
              intake->name, making->error.message, strerror(errno));
    return INTAKE_LEAVE_ALONE;
}

static enum intake_outcome remove_file(const struct making *making)
{
    const struct intake *intake = making->intake;

    if (unlinkat(intake->folder_fd, intake->name, 0) == 0 || errno == ENOENT)
        return INTAKE_TAKEN;
    log_error(&intake->pickup_log,
              "%s: queued, but its maildrop file %s cannot be removed (%s); remove it, or it is "
              "sent again after the next start",
              making->id.text, intake->name, strerror(errno));
    return INTAKE_LEAVE_ALONE;
}

static void add_recipients(struct making *making, const struct rewrite_rules *rules)
{
    const struct envelope *given = &making->file.envelope.envelope;
    struct map *seen = map_new();

    for (size_t i = 0; i < given->recipient_count; i++) {
        const struct recipient *from = &given->recipients[i];
        struct recipient recipient = {
            .address = rewrite_address(&making->arena, rules, from->address),
            .dsn_notify = from->dsn_notify & (DSN_NOTIFY_NEVER | DSN_NOTIFY_SUCCESS |
                                              DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY),
        };
        if (!str_equal(recipient.address, from->address))
            recipient.original_recipient = from->address;
        if (map_set(seen, recipient.address, making) == NULL)
            envelope_add_recipient(&making->arena, &making->envelope, &recipient);
    }
    map_free(&seen);
}

/* What postdrop wrote came from a user. */
static struct str verp_of(const struct making *making)
{
    const struct envelope *given = &making->file.envelope.envelope;

    if (given->sender.len == 0 ||
        !verp_delimiters_are_valid(given->verp, making->intake->config->verp_delimiter_filter))
        return STR("");
    return given->verp;
}

static void make_envelope(struct making *making)
{
    const struct envelope *given = &making->file.envelope.envelope;
    struct rewrite_rules rules = rewrite_rules_from(making->intake->config);
    int64_t now_us = clock_wall_us();

    making->envelope = (struct envelope){
        .sender = rewrite_address(&making->arena, &rules, given->sender),
        .flags = ENVELOPE_LOCAL |
                 (given->flags & (ENVELOPE_8BITMIME | ENVELOPE_RET_FULL | ENVELOPE_RET_HEADERS |
                                  ENVELOPE_REPORT | ENVELOPE_VERIFY)),
        .arrival_us =
            given->arrival_us > 0 && given->arrival_us <= now_us ? given->arrival_us : now_us,
        .dsn_envid = given->dsn_envid,
        .verp = verp_of(making),
        .filter = making->intake->config->content_filter,
    };
    add_recipients(making, &rules);
}

static void log_pickup(const struct making *making)
{
    autofree_buf struct buf line = { 0 };

    log_line_pickup(str_from(making->id.text), making->file.uid,
                    making->file.envelope.envelope.sender, &line);
    log_write_text(&making->intake->pickup_log, SEVERITY_INFO, buf_str(&line));
}

static void format_received(const struct making *making, struct buf *out)
{
    const struct config *config = making->intake->config;
    struct received received = {
        .myhostname = config->myhostname,
        .mail_name = config->mail_name,
        .queue_id = str_from(making->id.text),
        .wall_s = making->envelope.arrival_us / 1000000,
        .is_local = true,
        .uid = making->file.uid,
    };

    received_format(&received, out);
}

/* What checks or tables say against the message. For now: it waits in its file. For good: it goes
 * back to its sender, see intake_run. */
static enum maildrop_file_outcome refuse(struct making *making)
{
    const struct cleanup_message *message = &making->cleanup;

    making->is_rejected = message->reply_code >= 500;
    error_set(&making->error, "%s: %u %s %.*s", making->id.text, message->reply_code,
              message->reply_enhanced, STR_ARGS(message->reply_text));
    return MAILDROP_FILE_FAILED;
}

static enum maildrop_file_outcome clean_up(struct making *making, struct str prefix)
{
    const struct intake *intake = making->intake;
    bool is_gateway = (making->file.envelope.flags & MAILDROP_GATEWAY) != 0;
    autofree_buf struct buf received = { 0 };

    format_received(making, &received);
    making->cleanup = (struct cleanup_message){
        .arena = &making->arena,
        .envelope = &making->envelope,
        .queue_id = str_from(making->id.text),
        .full_name = making->file.envelope.full_name,
        .parts = cleanup_external_parts(intake->config),
        .origin = is_gateway ? HEADERS_REMOTE : HEADERS_LOCAL,
        .opening = buf_str(&received),
        .actions = &making->actions,
    };
    if (!str_is_empty(making->rejection))
        making->cleanup.parts &= ~(unsigned)CLEANUP_CHECKS;
    return cleanup_run(intake->cleanup, &making->cleanup, prefix, &making->out) == CLEANUP_DONE
               ? MAILDROP_FILE_OK
               : refuse(making);
}

/* Up to `limit` bytes of content, normalised, into `out`. */
static enum maildrop_file_outcome read_content(struct making *making, size_t limit, struct buf *out,
                                               bool *has_ended)
{
    char portion[16 * 1024];
    size_t start = out->len;

    *has_ended = false;
    while (!*has_ended && out->len - start < limit) {
        size_t count;
        enum maildrop_file_outcome outcome =
            maildrop_file_read(&making->file, portion, sizeof portion, &count, &making->error);
        if (outcome != MAILDROP_FILE_OK)
            return outcome;
        *has_ended = count == 0;
        content_add(&making->content, str_of(portion, count), out);
    }
    if (*has_ended)
        content_end(&making->content, out);
    return MAILDROP_FILE_OK;
}

static uint64_t count_lines(struct str text)
{
    uint64_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '\n';
    return count;
}

static bool send_chunks(struct making *making)
{
    size_t done = 0;
    int64_t deadline_ms = loop_now_ms(making->intake->loop) + WAIT_SEND_MS;

    if (making->out.len <= SUBMISSION_INLINE_MAX)
        return true;
    while (making->out.len - done > SUBMISSION_INLINE_MAX) {
        struct str chunk = str_of(making->out.ptr + done, SUBMISSION_CHUNK_BYTES);
        if (!submission_send(&making->message, chunk, deadline_ms))
            return error_set(&making->error, "the queue is not taking mail; it is tried again");
        making->sent_lines += count_lines(chunk);
        done += SUBMISSION_CHUNK_BYTES;
    }
    making->sent_bytes += done;
    buf_consume(&making->out, done);
    return true;
}

/* The headers, and with them as much of the body as is at hand. */
static enum maildrop_file_outcome make_start(struct making *making, bool *has_ended)
{
    autofree_buf struct buf prefix = { 0 };
    struct header_summary summary;
    enum maildrop_file_outcome outcome = read_content(making, PREFIX_BYTES, &prefix, has_ended);

    if (outcome != MAILDROP_FILE_OK)
        return outcome;
    header_summarise(buf_str(&prefix), &summary);
    if ((int64_t)summary.received_count > making->intake->config->hopcount_limit) {
        error_set(&making->error, "too many hops (%u Received: headers): the mail loops",
                  summary.received_count);
        return MAILDROP_FILE_BAD;
    }
    log_pickup(making);
    return clean_up(making, buf_str(&prefix));
}

/* The next portion of the body, through the checks. */
static enum maildrop_file_outcome make_more(struct making *making, bool *has_ended)
{
    autofree_buf struct buf portion = { 0 };
    enum maildrop_file_outcome outcome = read_content(making, PORTION_BYTES, &portion, has_ended);

    if (outcome != MAILDROP_FILE_OK)
        return outcome;
    return cleanup_add(&making->cleanup, buf_str(&portion), &making->out) == CLEANUP_DONE
               ? MAILDROP_FILE_OK
               : refuse(making);
}

/* Everything but the last part goes to the queue; that stays in making->out. False: `outcome` says
 * what became of the file. */
static bool send_content(struct making *making, enum intake_outcome *outcome)
{
    bool has_ended, is_sent = true;
    enum maildrop_file_outcome made = make_start(making, &has_ended);

    while (made == MAILDROP_FILE_OK && (is_sent = send_chunks(making)) && !has_ended)
        made = make_more(making, &has_ended);
    if (made == MAILDROP_FILE_OK && is_sent &&
        cleanup_end(&making->cleanup, &making->out) == CLEANUP_REFUSED)
        made = refuse(making);
    if (made == MAILDROP_FILE_OK && is_sent && send_chunks(making))
        return true;
    *outcome = made == MAILDROP_FILE_BAD ? set_aside(making) : try_again(making);
    return false;
}

static enum intake_outcome finish(struct making *making)
{
    autofree_buf struct buf envelope = { 0 };
    struct envelope *made = &making->envelope;
    const struct submission_reply *reply = &making->message.reply;
    int64_t deadline_ms = loop_now_ms(making->intake->loop) + WAIT_ANSWER_MS;

    made->content_bytes = making->sent_bytes + making->out.len;
    made->size_bytes =
        made->content_bytes - making->sent_lines - count_lines(buf_str(&making->out));
    message_actions_apply(&making->actions, &making->arena, made);
    if (!str_is_empty(making->rejection))
        made->filter =
            str_from(arena_printf(&making->arena, "error:%.*s", STR_ARGS(making->rejection)));
    if (making->content.has_8bit)
        made->flags |= ENVELOPE_8BITMIME;
    envelope_encode(made, &envelope);
    switch (submission_finish(&making->message, buf_str(&envelope), buf_str(&making->out),
                              deadline_ms)) {
    case SUBMISSION_ACCEPTED:
        return remove_file(making);
    case SUBMISSION_REFUSED:
        error_set(&making->error, "%s: the queue refused it: %u %s %s", making->id.text,
                  reply->code, reply->enhanced, reply->text);
        return reply->code >= 500 ? set_aside(making) : try_again(making);
    case SUBMISSION_LOST:
        break;
    }
    error_set(&making->error, "%s: the queue went away before it had answered", making->id.text);
    return try_again(making);
}

static enum intake_outcome submit(struct making *making)
{
    const struct intake *intake = making->intake;
    struct submission_reply reply;
    uint64_t queue_id;

    if (!submission_is_open(intake->submission, &reply)) {
        error_set(&making->error, "%u %s %s", reply.code, reply.enhanced, reply.text);
        return try_again(making);
    }
    if (!submission_take_id(intake->submission, loop_now_ms(intake->loop) + WAIT_ID_MS,
                            &queue_id)) {
        error_set(&making->error, "the queue gave no queue id in time");
        return try_again(making);
    }
    making->id = queue_id_format(queue_id, intake->config->enable_long_queue_ids);
    make_envelope(making);
    submission_begin(intake->submission, queue_id, &making->message);
    enum intake_outcome outcome;
    if (send_content(making, &outcome))
        outcome = making->actions.is_discarded ? remove_file(making) : finish(making);
    submission_abort(&making->message);
    return outcome;
}

static enum intake_outcome run_once(struct making *making)
{
    const struct intake *intake = making->intake;

    switch (maildrop_file_open(&making->arena, intake->folder_fd, intake->name, &making->file,
                               &making->error)) {
    case MAILDROP_FILE_OK:
        return submit(making);
    case MAILDROP_FILE_GONE:
        return INTAKE_TAKEN;
    case MAILDROP_FILE_BAD:
        return set_aside(making);
    case MAILDROP_FILE_FAILED:
        return try_again(making);
    }
    unreachable();
}

static void making_clear(struct making *making)
{
    (void)cleanup_end(&making->cleanup, NULL);
    maildrop_file_close(&making->file);
    buf_free(&making->out);
    arena_clear(&making->arena);
}

enum intake_outcome intake_run(const struct intake *intake)
{
    struct making making = { .intake = intake, .file = { .fd = -1 } };
    struct making bouncing = { .intake = intake, .file = { .fd = -1 } };
    enum intake_outcome outcome = run_once(&making);

    /* What a check rejects goes back to its sender whole, as it does in Postfix: it is queued
     * unchecked for the transport that fails everything. */
    if (making.is_rejected) {
        bouncing.rejection =
            str_from(arena_printf(&bouncing.arena, "%s %.*s", making.cleanup.reply_enhanced,
                                  STR_ARGS(making.cleanup.reply_text)));
        outcome = run_once(&bouncing);
    }
    making_clear(&making);
    making_clear(&bouncing);
    return outcome;
}
