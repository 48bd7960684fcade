/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include "base/memory.h"
#include "client.h"
#include "encryption.h"
#include "mail/dot_stuffing.h"
#include "mail/header.h"
#include "mail/received.h"

enum {
    /* Header sections beyond this are refused: they are kept in memory until they end. */
    HEADERS_BYTES_MAX = 512 * 1024,
    /* What is read of a message after it was refused, before the connection ends. */
    DRAIN_BYTES_MAX = 16 * 1024 * 1024,
    /* RFC 5321 4.5.3.2.6 has clients wait ten minutes for the reply to the final dot. */
    COMMIT_PATIENCE_MS = 300 * 1000,
    SEND_PATIENCE_MS = 60 * 1000,
    /* A message may come in so many chunks that are smaller than this; each further one counts as
     * an error of the client. */
    TINY_CHUNKS_MAX = 10 * 1000,
    TINY_CHUNK_BYTES = 512,
};

struct content {
    struct dot_decoder decoder;
    struct buf incoming;    /* decoded; the headers are not known to be complete yet */
    struct buf outgoing;    /* as it will be stored, from our Received: on; not sent yet */
    bool has_headers;       /* everything decoded from now on goes to `outgoing` */
    uint64_t wire_bytes;    /* read from the client */
    uint64_t decoded_bytes; /* the client's content; what message_size_limit counts */
    uint64_t stored_bytes;  /* sent to the queue so far */
    uint64_t stored_lines;
    uint64_t refused_at_bytes; /* wire_bytes when it was refused */
    enum reply_name refusal;   /* REPLY_COUNT: none */
    int64_t patience_ms;       /* what is left of smtpd_timeout for DATA, or for the chunk */
    uint64_t started_bytes;    /* wire_bytes at its beginning */
    unsigned tiny_chunks;
    struct cleanup_message cleanup;
    struct verdict verdict; /* with a code: said in place of `refusal` */
};

/* ---- refusing ---- */

static void content_refuse(struct conversation *conversation, struct content *content,
                           enum reply_name refusal)
{
    content->refusal = refusal;
    content->refused_at_bytes = content->wire_bytes;
    submission_abort(&conversation->session.transaction.submission);
    buf_free(&content->incoming);
    buf_free(&content->outgoing);
}

static void warn_of_message(const struct conversation *conversation,
                            const struct log_context *context, const char *text)
{
    log_warning(context, "%s: %s", conversation->session.transaction.queue_id_text.text, text);
}

/* ---- towards the queue ---- */

static uint64_t count_lines(struct str text)
{
    uint64_t count = 0;
    const char *end = text.ptr + text.len;

    for (const char *at = text.ptr; at < end; count++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at == NULL)
            break;
        at++;
    }
    return count;
}

static void count_stored(struct content *content, struct str bytes)
{
    content->stored_bytes += bytes.len;
    content->stored_lines += count_lines(bytes);
}

/* Whole chunks, once the message is known to be too large to go in one piece. */
static void send_chunks(struct conversation *conversation, struct content *content)
{
    struct submission_message *message = &conversation->session.transaction.submission;
    int64_t deadline_ms = loop_now_ms(conversation->server->loop) + SEND_PATIENCE_MS;
    struct str rest = buf_str(&content->outgoing);

    if (rest.len <= SUBMISSION_INLINE_MAX)
        return;
    while (rest.len >= SUBMISSION_CHUNK_BYTES) {
        struct str chunk = str_take(rest, SUBMISSION_CHUNK_BYTES);
        if (!submission_send(message, chunk, deadline_ms)) {
            content_refuse(conversation, content, REPLY_QUEUE_ERROR);
            return;
        }
        count_stored(content, chunk);
        rest = str_skip(rest, SUBMISSION_CHUNK_BYTES);
    }
    buf_consume(&content->outgoing, content->outgoing.len - rest.len);
}

/* ---- headers ---- */

/* Whether the line that ends the headers has arrived. An unfinished last line could still become a
 * header, or the continuation of one. */
static bool headers_are_complete(struct str decoded)
{
    ptrdiff_t last_newline = str_find_last_byte(decoded, '\n');
    struct str lines = str_take(decoded, (size_t)(last_newline + 1));

    return header_block(lines).len < lines.len;
}

/* RFC 3848, RFC 6531. */
static struct str received_protocol(const struct session *session)
{
    static const struct str names[2][2][2] = {
        { { STR_INIT("ESMTP"), STR_INIT("ESMTPA") }, { STR_INIT("ESMTPS"), STR_INIT("ESMTPSA") } },
        { { STR_INIT("UTF8SMTP"), STR_INIT("UTF8SMTPA") },
          { STR_INIT("UTF8SMTPS"), STR_INIT("UTF8SMTPSA") } },
    };
    bool is_utf8 = (session->transaction.envelope.flags & ENVELOPE_SMTPUTF8) != 0;

    if (!session->is_esmtp)
        return session_protocol(session);
    return names[is_utf8][session->tls != NULL][session_is_authenticated(session)];
}

static void envelope_set_client(struct conversation *conversation)
{
    const struct session *session = &conversation->session;
    const struct forwarded_client *forwarded = &session->transaction.forwarded;
    struct envelope *envelope = &conversation->session.transaction.envelope;

    envelope->client_name = forwarded->is_set ? forwarded->name : session->client_name;
    envelope->client_address = forwarded->is_set ? forwarded->address : session->client_address;
    envelope->helo_name = forwarded->is_set ? forwarded->helo_name : session->helo_name;
    envelope->protocol = forwarded->is_set ? forwarded->protocol : session_protocol(session);
}

static void append_received(struct conversation *conversation, struct buf *out)
{
    const struct session *session = &conversation->session;
    const struct envelope *envelope = &session->transaction.envelope;
    struct received received = {
        .myhostname = conversation->policy->myhostname,
        .mail_name = conversation->policy->config->mail_name,
        .queue_id = conversation_queue_id(conversation),
        .wall_s = envelope->arrival_us / 1000000,
        .helo_name = session->helo_name,
        .client_name = session->client_name,
        .client_address = session->client_address,
        .protocol = received_protocol(session),
        .tls_comment = encryption_received_comment(conversation),
    };

    if (conversation->policy->config->smtpd_sasl_authenticated_header)
        received.sasl_username = session->sasl_username;

    if (envelope->recipient_count == 1)
        received.recipient = envelope->recipients[0].address;
    received_format(&received, out);
}

/* local_header_rewrite_clients: whose mail gets the headers and domains that it lacks. */
static bool may_rewrite_headers(const struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;
    const struct session *session = &conversation->session;
    struct str words = policy->config->local_header_rewrite_clients;
    struct str word;

    while (str_next_word(&words, ", \t\r\n", &word)) {
        if (str_equal_fold(word, STR("permit_inet_interfaces")) && session->is_local_client)
            return true;
        if (str_equal_fold(word, STR("permit_mynetworks")) &&
            restrictions_client_is_trusted(policy->restrictions, session->client_name,
                                           session->client_address))
            return true;
        if (str_equal_fold(word, STR("permit_sasl_authenticated")) &&
            session_is_authenticated(session))
            return true;
    }
    struct error error; /* a table that fails has no rewriting to offer */
    return match_list_find_client(policy->rewrite_clients, session->client_name,
                                  session->client_address, &error) == MATCH_FOUND;
}

/* As cleanup_run and its kin say. */
static void refuse_cleaned(struct conversation *conversation, struct content *content)
{
    const struct cleanup_message *message = &content->cleanup;

    content_refuse(conversation, content, REPLY_QUEUE_ERROR);
    content->verdict = (struct verdict){
        .code = message->reply_code,
        .enhanced = message->reply_enhanced,
        .text = arena_text(&conversation->session.transaction.arena, message->reply_text),
    };
}

/* `incoming` holds the headers and perhaps some of the body: checks them, and from here on
 * everything is `outgoing`. */
static void take_headers(struct conversation *conversation, struct content *content)
{
    const struct policy *policy = conversation->policy;
    struct transaction *transaction = &conversation->session.transaction;
    struct header_summary summary;
    autofree_buf struct buf opening = { 0 };

    envelope_set_client(conversation);
    buf_append(&opening, transaction->actions.prepended);
    append_received(conversation, &opening);
    content->cleanup = (struct cleanup_message){
        .arena = &transaction->arena,
        .envelope = &transaction->envelope,
        .queue_id = conversation_queue_id(conversation),
        .parts = policy->cleanup_parts,
        .origin = may_rewrite_headers(conversation) ? HEADERS_LOCAL : HEADERS_REMOTE,
        .opening = buf_str(&opening),
        .actions = &transaction->actions,
    };
    header_summarise(buf_str(&content->incoming), &summary);
    enum cleanup_outcome outcome = cleanup_run(policy->cleanup, &content->cleanup,
                                               buf_str(&content->incoming), &content->outgoing);
    buf_free(&content->incoming);
    content->has_headers = true;
    if (outcome == CLEANUP_REFUSED) {
        refuse_cleaned(conversation, content);
        return;
    }
    /* Ours counts too, as it does in Postfix. */
    if (summary.received_count + 1 >= (unsigned)policy->config->hopcount_limit) {
        warn_of_message(conversation, &policy->cleanup_log, "message rejected: hopcount exceeded");
        content_refuse(conversation, content, REPLY_TOO_MANY_HOPS);
    }
}

/* What of the body came since the last time goes through the checks, where there are any. */
static void check_body(struct conversation *conversation, struct content *content)
{
    if (content->cleanup.scan == NULL)
        return;
    enum cleanup_outcome outcome =
        cleanup_add(&content->cleanup, buf_str(&content->incoming), &content->outgoing);
    buf_clear(&content->incoming);
    if (outcome == CLEANUP_REFUSED)
        refuse_cleaned(conversation, content);
}

/* ---- from the client ---- */

/* What was decoded is checked and moved on as far as it goes. */
static void content_advance(struct conversation *conversation, struct content *content)
{
    const struct policy *policy = conversation->policy;
    int64_t limit_bytes = policy->config->message_size_limit;

    if (limit_bytes > 0 && content->decoded_bytes > (uint64_t)limit_bytes) {
        warn_of_message(conversation, &policy->log, "queue file size limit exceeded");
        content_refuse(conversation, content, REPLY_TOO_BIG);
        return;
    }
    /* A small message is looked at once, when it is complete. */
    if (!content->has_headers && content->incoming.len > SUBMISSION_INLINE_MAX) {
        if (headers_are_complete(buf_str(&content->incoming)))
            take_headers(conversation, content);
        else if (content->incoming.len > HEADERS_BYTES_MAX)
            content_refuse(conversation, content, REPLY_HEADER_TOO_BIG);
    }
    if (content->has_headers && content->refusal == REPLY_COUNT)
        check_body(conversation, content);
    if (content->has_headers && content->refusal == REPLY_COUNT)
        send_chunks(conversation, content);
}

/* Where content goes as it is decoded. */
static struct buf *content_target(struct content *content)
{
    bool is_looked_at = !content->has_headers || content->cleanup.scan != NULL;

    return is_looked_at ? &content->incoming : &content->outgoing;
}

/* Returns how many bytes it used: less than there are only behind the end of DATA. */
static size_t content_decode(struct conversation *conversation, struct content *content,
                             struct str bytes)
{
    struct buf *target = content_target(content);
    size_t before = target->len;
    size_t used = dot_decode(&content->decoder, bytes, target);

    content->wire_bytes += used;
    content->decoded_bytes += target->len - before;
    stream_consume(conversation->stream, used);
    if (content->refusal != REPLY_COUNT)
        buf_clear(target);
    else
        content_advance(conversation, content);
    return used;
}

/* Each portion has smtpd_timeout. With smtpd_per_request_deadline all of them together have it: it
 * runs while we wait, and what comes lengthens it again, at smtpd_min_data_rate. So a client that
 * drips one byte a minute ends. */
static enum stream_outcome read_portion(struct conversation *conversation, struct content *content,
                                        struct str *bytes)
{
    const struct config *config = conversation->policy->config;
    struct loop *loop = conversation->server->loop;
    int64_t rate = config->smtpd_min_data_rate > 0 ? config->smtpd_min_data_rate : 1;
    int64_t begun_ms = loop_now_ms(loop);

    if (!config->smtpd_per_request_deadline)
        content->patience_ms = config->smtpd_timeout * 1000;
    enum stream_outcome outcome =
        stream_read_some(conversation->stream, begun_ms + content->patience_ms, bytes);
    content->patience_ms += (int64_t)bytes->len * 1000 / rate - (loop_now_ms(loop) - begun_ms);
    if (content->patience_ms > config->smtpd_timeout * 1000)
        content->patience_ms = config->smtpd_timeout * 1000;
    return outcome;
}

static bool is_drained_enough(const struct content *content)
{
    return content->refusal != REPLY_COUNT &&
           content->wire_bytes - content->refused_at_bytes > DRAIN_BYTES_MAX;
}

/* Reads to the final dot. Anything but STREAM_OK ends the connection. */
static enum stream_outcome content_read(struct conversation *conversation, struct content *content)
{
    struct str bytes;

    while (!content->decoder.is_done) {
        enum stream_outcome outcome = read_portion(conversation, content, &bytes);
        if (outcome != STREAM_OK)
            return outcome;
        content_decode(conversation, content, bytes);
        if (is_drained_enough(content))
            return STREAM_TOO_LONG;
    }
    return STREAM_OK;
}

/* Reads the `count` bytes of a chunk. */
static enum stream_outcome content_read_chunk(struct conversation *conversation,
                                              struct content *content, uint64_t count)
{
    struct str bytes;

    content->patience_ms = conversation->policy->config->smtpd_timeout * 1000;
    content->started_bytes = content->wire_bytes;
    while (count > 0) {
        enum stream_outcome outcome = read_portion(conversation, content, &bytes);
        if (outcome != STREAM_OK)
            return outcome;
        if (bytes.len > count)
            bytes.len = (size_t)count;
        count -= content_decode(conversation, content, bytes);
        if (is_drained_enough(content))
            return STREAM_TOO_LONG;
    }
    return STREAM_OK;
}

/* ---- the end ---- */

static bool has_forbidden_newline(struct conversation *conversation, const struct content *content)
{
    return content->decoder.has_bare_newline &&
           conversation->policy->bare_newline == BARE_NEWLINE_IS_REJECTED &&
           !client_may_send_bare_newlines(conversation);
}

/* Everything is here: the last checks, before it is submitted. */
static void content_finish(struct conversation *conversation, struct content *content)
{
    if (content->refusal == REPLY_COUNT && !content->has_headers)
        take_headers(conversation, content);
    if (content->refusal == REPLY_COUNT)
        check_body(conversation, content);
    if (content->refusal == REPLY_COUNT &&
        cleanup_end(&content->cleanup, &content->outgoing) == CLEANUP_REFUSED)
        refuse_cleaned(conversation, content);
    if (content->refusal == REPLY_COUNT)
        send_chunks(conversation, content);
}

static void envelope_fill(struct conversation *conversation, const struct content *content)
{
    struct transaction *transaction = &conversation->session.transaction;

    transaction->envelope.content_bytes = content->stored_bytes;
    transaction->envelope.size_bytes = content->stored_bytes - content->stored_lines;
    message_actions_apply(&transaction->actions, &transaction->arena, &transaction->envelope);
}

static enum next reply_queued(struct conversation *conversation, const struct content *content)
{
    const char *id = conversation->session.transaction.queue_id_text.text;
    struct arena *scratch = &conversation->scratch;
    const char *text = content->decoder.is_plain
                           ? arena_printf(scratch, "250 2.0.0 Ok: %llu bytes queued as %s",
                                          (unsigned long long)content->decoded_bytes, id)
                           : arena_printf(scratch, "250 2.0.0 Ok: queued as %s", id);

    conversation->server->message_count++;
    /* smtpd_soft_error_limit and its kin are about clients that bring no mail. */
    conversation->session.error_count = 0;
    conversation->session.junk_count = 0;
    return reply_text(conversation, 250, str_from(text));
}

/* Hands it to the queue and answers with what the queue says. */
static enum next submit(struct conversation *conversation, struct content *content)
{
    struct server *server = conversation->server;
    struct transaction *transaction = &conversation->session.transaction;
    struct submission_message *message = &transaction->submission;
    autofree_buf struct buf envelope = { 0 };

    if (transaction->actions.is_discarded) {
        submission_abort(message);
        return reply_queued(conversation, content);
    }
    count_stored(content, buf_str(&content->outgoing));
    envelope_fill(conversation, content);
    envelope_encode(&transaction->envelope, &envelope);
    switch (submission_finish(message, buf_str(&envelope), buf_str(&content->outgoing),
                              loop_now_ms(server->loop) + COMMIT_PATIENCE_MS)) {
    case SUBMISSION_ACCEPTED:
        return reply_queued(conversation, content);
    case SUBMISSION_REFUSED:
        return reply_verdict(conversation, &(struct verdict){ .code = message->reply.code,
                                                              .enhanced = message->reply.enhanced,
                                                              .text = message->reply.text });
    case SUBMISSION_LOST:
        warn_of_message(conversation, &conversation->policy->log,
                        "no answer from the queue; the client was told to try again");
        break;
    }
    return reply(conversation, REPLY_QUEUE_ERROR);
}

/* The connection, or our patience with it, ended before all was there. */
static enum next content_lost(struct conversation *conversation, const struct content *content,
                              enum stream_outcome outcome)
{
    const char *where = arena_printf(
        &conversation->scratch, "%s (%llu bytes)", content->decoder.is_plain ? "BDAT" : "DATA",
        (unsigned long long)(content->wire_bytes - content->started_bytes));

    conversation->reply_code = 421;
    if (outcome == STREAM_TOO_LONG)
        return reply_and_close(conversation, REPLY_TOO_MUCH_DRAINED);
    return conversation_lost(conversation, outcome, str_from(where));
}

static enum next refuse_bare_newline(struct conversation *conversation)
{
    const struct envelope *envelope = &conversation->session.transaction.envelope;

    conversation_log_reject(conversation, "END-OF-MESSAGE", STR("bare <LF> received"),
                            &envelope->recipients[0].address);
    return reply_bare_newline(conversation);
}

static enum next content_answer(struct conversation *conversation, struct content *content)
{
    conversation->session.where = STR("END-OF-MESSAGE");
    if (content->refusal == REPLY_COUNT && has_forbidden_newline(conversation, content))
        return refuse_bare_newline(conversation);
    content_finish(conversation, content);
    if (content->verdict.code != 0)
        return reply_verdict(conversation, &content->verdict);
    if (content->refusal != REPLY_COUNT)
        return reply(conversation, content->refusal);
    conversation->session.transaction.content_bytes = content->decoded_bytes;
    struct verdict verdict = restrictions_check_end_of_data(conversation);
    if (!verdict.is_accepted) {
        submission_abort(&conversation->session.transaction.submission);
        return reply_verdict(conversation, &verdict);
    }
    return submit(conversation, content);
}

/* ---- DATA ---- */

static struct content *content_begin(struct conversation *conversation)
{
    struct transaction *transaction = &conversation->session.transaction;
    struct content *content = memory_new(sizeof(*content));

    content->refusal = REPLY_COUNT;
    content->patience_ms = conversation->policy->config->smtpd_timeout * 1000;
    submission_begin(conversation->server->submission, transaction->queue_id,
                     &transaction->submission);
    transaction->content = content;
    return content;
}

void content_free(struct content **content)
{
    if (*content == NULL)
        return;
    (void)cleanup_end(&(*content)->cleanup, NULL);
    buf_free(&(*content)->incoming);
    buf_free(&(*content)->outgoing);
    memory_free(*content);
    *content = NULL;
}

enum next data_receive(struct conversation *conversation)
{
    session_enter(&conversation->session, PHASE_DATA);
    enum next next = reply(conversation, REPLY_GO_AHEAD);
    if (next == NEXT_COMMAND) {
        struct content *content = content_begin(conversation);
        enum stream_outcome outcome = content_read(conversation, content);
        next = outcome == STREAM_OK ? content_answer(conversation, content)
                                    : content_lost(conversation, content, outcome);
    }
    session_reset_transaction(&conversation->session);
    return next;
}

/* ---- BDAT ---- */

static bool is_refused(const struct conversation *conversation)
{
    return conversation->reply_code >= 400;
}

/* The chunk was read: says so, or refuses what has come so far. */
static enum next chunk_answer(struct conversation *conversation, struct content *content,
                              uint64_t count)
{
    bool is_clean = !has_forbidden_newline(conversation, content);

    if (content->refusal != REPLY_COUNT)
        return reply(conversation, content->refusal);
    if (!is_clean)
        return refuse_bare_newline(conversation);
    /* Many a chunk of next to nothing is work without mail. */
    if (content->tiny_chunks > TINY_CHUNKS_MAX)
        conversation->session.error_count++;
    return reply_text(conversation, 250,
                      str_from(arena_printf(&conversation->scratch, "250 2.0.0 Ok: %llu bytes",
                                            (unsigned long long)count)));
}

enum next chunk_receive(struct conversation *conversation, uint64_t count, bool is_last)
{
    struct session *session = &conversation->session;
    struct content *content = session->transaction.content;
    enum next next;

    if (content == NULL) {
        session_enter(session, PHASE_BDAT);
        content = content_begin(conversation);
        content->decoder.is_plain = true;
    }
    if (count < TINY_CHUNK_BYTES)
        content->tiny_chunks++;
    enum stream_outcome outcome = content_read_chunk(conversation, content, count);
    if (outcome != STREAM_OK) {
        next = content_lost(conversation, content, outcome);
    } else if (is_last) {
        size_t before = content->incoming.len + content->outgoing.len;
        dot_decode_end(&content->decoder, content_target(content));
        content->decoded_bytes += content->incoming.len + content->outgoing.len - before;
        next = content_answer(conversation, content);
    } else {
        next = chunk_answer(conversation, content, count);
        if (next == NEXT_COMMAND && !is_refused(conversation))
            return next;
        session_refuse_chunks(session);
        return next;
    }
    session_reset_transaction(session);
    return next;
}

enum stream_outcome chunk_discard(struct conversation *conversation, uint64_t count)
{
    struct content content = { .refusal = REPLY_NOT_IMPLEMENTED, .decoder.is_plain = true };
    enum stream_outcome outcome = content_read_chunk(conversation, &content, count);

    buf_free(&content.incoming);
    return outcome;
}

enum next chunk_lost(struct conversation *conversation, enum stream_outcome outcome)
{
    struct content content = { .decoder.is_plain = true };

    return content_lost(conversation, &content, outcome);
}
