/* SPDX-License-Identifier: Apache-2.0 */
#include "content.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "mail/address.h"
#include "mail/dot_stuffing.h"
#include "mail/downgrade.h"
#include "mail/header.h"
#include "worker.h"

enum { PORTION_BYTES = 128 * 1024 };

/* What can be known before anything is sent. */
static const struct failure *find_obstacle(const struct session *session)
{
    struct delivery *delivery = session->delivery;
    const struct envelope *envelope = &delivery->job.envelope;
    struct failure *failure = NULL;

    if (session->offer.size_limit > 0 && envelope->size_bytes > session->offer.size_limit)
        failure =
            failure_new(&delivery->job.arena, "5.3.4",
                        "message size %llu exceeds size limit %llu of server %.*s",
                        (unsigned long long)envelope->size_bytes,
                        (unsigned long long)session->offer.size_limit, STR_ARGS(session->name));
    else if ((envelope->flags & ENVELOPE_SMTPUTF8) != 0 &&
             (session->offer.features & FEATURE_SMTPUTF8) == 0)
        failure = failure_new(&delivery->job.arena, "5.6.7",
                              "SMTPUTF8 is required, but was not offered by host %.*s",
                              STR_ARGS(session->name));
    if (failure != NULL)
        failure->relay = arena_copy(&delivery->job.arena, session->relay);
    return failure;
}

/* A message that was delivered to this recipient before goes round in circles. */
static bool is_delivered_to(const struct delivery *delivery, struct str address)
{
    struct str content = delivery->job.content;
    struct header header;

    while (header_next(&content, &header)) {
        if (header_is(&header, "Delivered-To") && str_equal_fold(header.value, address))
            return true;
    }
    return false;
}

static const struct failure *find_flag_obstacle(const struct session *session)
{
    const struct transport *transport = session->transport;
    struct delivery *delivery = session->delivery;
    struct str address = delivery->job.envelope.recipients[0].address;

    if (!transport->has_flag_delivered_to && !transport->has_flag_original_to)
        return NULL;
    if (delivery->job.envelope.recipient_count > 1)
        return failure_new(&delivery->job.arena, "4.3.5",
                           "mail system configuration error: flags D and O need "
                           "%.*s_destination_recipient_limit = 1",
                           STR_ARGS(transport->name));
    if (transport->has_flag_delivered_to && is_delivered_to(delivery, address))
        return failure_new(&delivery->job.arena, "5.4.6", "mail forwarding loop for %.*s",
                           STR_ARGS(address));
    return NULL;
}

const struct failure *content_obstacle(const struct session *session)
{
    const struct failure *obstacle = find_obstacle(session);

    return obstacle != NULL ? obstacle : find_flag_obstacle(session);
}

/* The accepted recipient of a delivery that takes only one (flags=D and O). */
static const struct recipient *only_recipient(const struct delivery *delivery)
{
    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress == PROGRESS_ACCEPTED)
            return &delivery->job.envelope.recipients[i];
    }
    unreachable();
}

/* The headers that the service's flags put in front. */
static void append_flagged_headers(const struct session *session, struct buf *out)
{
    const struct transport *transport = session->transport;
    const struct delivery *delivery = session->delivery;

    if (transport->has_flag_return_path) {
        buf_append_text(out, "Return-Path: ");
        address_format_angle(delivery->job.envelope.sender, out);
        buf_append_text(out, "\r\n");
    }
    if (transport->has_flag_original_to) {
        const struct recipient *to = only_recipient(delivery);
        buf_append_text(out, "X-Original-To: ");
        buf_append(out, to->original_recipient.len > 0 ? to->original_recipient : to->address);
        buf_append_text(out, "\r\n");
    }
    if (transport->has_flag_delivered_to) {
        buf_append_text(out, "Delivered-To: ");
        buf_append(out, only_recipient(delivery)->address);
        buf_append_text(out, "\r\n");
    }
}

/* One sending of content. */
struct writing {
    struct session *session;
    struct dot_encoder encoder;
    int64_t begun_ms;
    uint64_t sent_bytes;
};

/* A server must take something within the timeout. With smtp_per_request_deadline that is not
 * enough: all of it must be through in the timeout and the time that it takes at the least rate. */
static int64_t writing_deadline(const struct writing *writing)
{
    const struct config *config = writing->session->transport->config;
    int64_t timeout_ms = config->smtp_data_xfer_timeout * 1000;

    if (timeout_ms <= 0)
        return DEADLINE_NEVER;
    if (!config->smtp_per_request_deadline)
        return loop_now_ms(writing->session->loop) + timeout_ms;
    int64_t rate = config->smtp_min_data_rate > 0 ? config->smtp_min_data_rate : 1;
    return writing->begun_ms + timeout_ms + (int64_t)writing->sent_bytes * 1000 / rate;
}

/* In portions, so that the deadline is that of a portion. */
static enum stream_outcome write_bytes(struct writing *writing, struct str bytes)
{
    enum stream_outcome outcome = STREAM_OK;

    while (outcome == STREAM_OK && bytes.len > 0) {
        struct str portion = str_take(bytes, PORTION_BYTES);
        outcome = stream_write(writing->session->stream, portion, writing_deadline(writing));
        bytes = str_skip(bytes, portion.len);
        writing->sent_bytes += portion.len;
    }
    return outcome;
}

static enum stream_outcome write_encoded(struct writing *writing, struct str content)
{
    enum stream_outcome outcome = STREAM_OK;
    struct str piece;

    while (outcome == STREAM_OK && dot_encode_next(&writing->encoder, &content, &piece))
        outcome = write_bytes(writing, piece);
    return outcome;
}

/* Some firewalls of old lose a final dot that arrives together with the content. */
static enum stream_outcome wait_before_dot(struct writing *writing)
{
    struct session *session = writing->session;
    const struct config *config = session->transport->config;
    int64_t age_ms = (clock_wall_us() - session->delivery->job.envelope.arrival_us) / 1000;
    enum stream_outcome outcome;

    if ((session->pix_workarounds & PIX_DELAY_DOTCRLF) == 0 ||
        age_ms < config->smtp_pix_workaround_threshold_time * 1000)
        return STREAM_OK;
    outcome = stream_flush(session->stream, writing_deadline(writing));
    if (outcome != STREAM_OK)
        return outcome;
    return fiber_sleep(session->loop, config->smtp_pix_workaround_delay_time * 1000) ==
                   WAKE_CANCELLED
               ? STREAM_CANCELLED
               : STREAM_OK;
}

/* For a server without 8BITMIME, what is declared as 8-bit becomes quoted-printable. */
static bool must_downgrade(const struct session *session)
{
    const struct delivery *delivery = session->delivery;

    return (session->offer.features & FEATURE_8BITMIME) == 0 &&
           !session->transport->config->disable_mime_output_conversion &&
           (downgrade_is_needed(delivery->sent_headers) ||
            downgrade_is_needed(delivery->sent_content));
}

static enum stream_outcome write_message(struct writing *writing)
{
    const struct delivery *delivery = writing->session->delivery;
    autofree_buf struct buf whole = { 0 }, downgraded = { 0 };
    enum stream_outcome outcome;

    if (!must_downgrade(writing->session)) {
        outcome = write_encoded(writing, delivery->sent_headers);
        return outcome == STREAM_OK ? write_encoded(writing, delivery->sent_content) : outcome;
    }
    if (delivery->sent_headers.len > 0) {
        buf_append(&whole, delivery->sent_headers);
        buf_append(&whole, delivery->sent_content);
    }
    downgrade_content(whole.len > 0 ? buf_str(&whole) : delivery->sent_content, &downgraded);
    return write_encoded(writing, buf_str(&downgraded));
}

enum stream_outcome content_send(struct session *session)
{
    struct writing writing = {
        .session = session,
        .encoder.line_length_limit = (size_t)session->transport->config->smtp_line_length_limit,
        .begun_ms = loop_now_ms(session->loop),
    };
    autofree_buf struct buf headers = { 0 };
    enum stream_outcome outcome;

    append_flagged_headers(session, &headers);
    outcome = write_encoded(&writing, buf_str(&headers));
    if (outcome == STREAM_OK)
        outcome = write_message(&writing);
    if (outcome == STREAM_OK)
        outcome = wait_before_dot(&writing);
    if (outcome == STREAM_OK)
        outcome = write_bytes(&writing, dot_encode_end(&writing.encoder));
    if (outcome == STREAM_OK)
        outcome = stream_flush(session->stream, writing_deadline(&writing));
    return outcome;
}
