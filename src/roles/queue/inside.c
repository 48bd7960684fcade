/* SPDX-License-Identifier: Apache-2.0 */
#include "inside.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "mail/log_line.h"
#include "queue.h"

static void log_result(const struct attempt *attempt, const struct recipient *recipient,
                       const struct log_context *speaker, const struct result *result)
{
    struct message *message = attempt->message;
    struct buf *line = &message->queue->scratch;
    int64_t now_us = clock_wall_us();
    struct log_delivery delivery = {
        .queue_id = message_id_text(message),
        .recipient = recipient->address,
        .original_recipient = recipient->original_recipient,
        .relay = STR("none"),
        .times = { .arrival_us = message->envelope.arrival_us,
                   .queue_manager_us = message->taken_up_us,
                   .agent_us = now_us,
                   .done_us = now_us },
        .delay_decimals = message->queue->settings->config->delay_logging_resolution_limit,
        .dsn = result->dsn,
        .status = delivery_status_word(result->status, message_is_probe(message) ||
                                                           message_is_verification(message)),
        .diagnostic = result->diagnostic,
    };

    buf_clear(line);
    log_line_delivery(&delivery, line);
    log_write_text(speaker, SEVERITY_INFO, buf_str(line));
}

void inside_end_one(struct attempt *attempt, uint32_t position, const struct result *result)
{
    uint32_t index = attempt->recipients[position] & ~ATTEMPT_RECIPIENT_DONE;

    log_result(attempt, &attempt->message->envelope.recipients[index],
               &attempt->destination->transport->settings.speaker, result);
    attempt_record(attempt, position, result);
}

static void give_all(struct attempt *attempt, const struct log_context *speaker,
                     const struct result *result)
{
    for (uint32_t i = 0; i < attempt->count; i++) {
        if (attempt->recipients[i] & ATTEMPT_RECIPIENT_DONE)
            continue;
        const struct recipient *recipient =
            &attempt->message->envelope.recipients[attempt->recipients[i]];
        log_result(attempt, recipient, speaker, result);
        attempt_record(attempt, i, result);
    }
}

static bool take_digits(struct str *rest)
{
    size_t count = 0;

    while (count < 3 && count < rest->len && ascii_is_digit(rest->ptr[count]))
        count++;
    *rest = str_skip(*rest, count);
    return count > 0;
}

static bool take_dot(struct str *rest)
{
    bool has_dot = rest->len > 0 && rest->ptr[0] == '.';

    *rest = str_skip(*rest, has_dot ? 1 : 0);
    return has_dot;
}

/* "5.1.1 text": takes the status off, where there is one. */
static bool take_status(struct str *text, struct str *status)
{
    struct str rest = *text;

    if (rest.len == 0 || (rest.ptr[0] != '2' && rest.ptr[0] != '4' && rest.ptr[0] != '5'))
        return false;
    rest = str_skip(rest, 1);
    if (!take_dot(&rest) || !take_digits(&rest) || !take_dot(&rest) || !take_digits(&rest) ||
        (rest.len > 0 && !ascii_is_space(rest.ptr[0])))
        return false;
    *status = str_take(*text, text->len - rest.len);
    *text = str_trim(rest);
    return true;
}

/* What the next hop says in place of a server. A status that does not fit what is done counts as
 * none, as in Postfix. */
static struct result spoken_result(const struct transport *transport, enum delivery_status status,
                                   struct str text)
{
    const char *dsn = status == DELIVERY_BOUNCED ? "5.0.0"
                      : status == DELIVERY_SENT  ? "2.0.0"
                                                 : "4.0.0";
    struct result result = { .status = status, .dsn = str_from(dsn), .diagnostic = str_trim(text) };
    struct str said;

    if (take_status(&result.diagnostic, &said)) {
        if (said.ptr[0] == dsn[0])
            result.dsn = said;
        else
            log_warning(&transport->settings.speaker, "ignoring dsn code \"%.*s\"", STR_ARGS(said));
    }
    if (result.diagnostic.len == 0 && status != DELIVERY_SENT)
        result.diagnostic = STR("Address is undeliverable");
    return result;
}

static struct result result_of(const struct destination *destination)
{
    const struct transport *transport = destination->transport;

    switch (transport->settings.kind) {
    case TRANSPORT_ERROR:
        return spoken_result(transport, DELIVERY_BOUNCED, destination->nexthop);
    case TRANSPORT_RETRY:
        return spoken_result(transport, DELIVERY_DEFERRED, destination->nexthop);
    case TRANSPORT_DISCARD:
        return spoken_result(transport, DELIVERY_SENT, destination->nexthop);
    case TRANSPORT_UNBUILT:
        return (struct result){
            .status = DELIVERY_DEFERRED,
            .dsn = STR("4.3.5"),
            .diagnostic = STR("this kind of transport is not built yet; the mail is kept: "
                              "route this recipient elsewhere"),
        };
    case TRANSPORT_WORKER:
    case TRANSPORT_LOCAL:
    case TRANSPORT_UNKNOWN:
        return (struct result){ .status = DELIVERY_DEFERRED,
                                .dsn = STR("4.3.0"),
                                .diagnostic = STR("mail transport unavailable") };
    }
    unreachable();
}

void inside_deliver(struct attempt *attempt)
{
    struct destination *destination = attempt->destination;
    struct transport *transport = destination->transport;
    struct result result = result_of(destination);

    if (transport->settings.kind == TRANSPORT_UNKNOWN)
        log_warning(&destination->queue->settings->speakers[SPEAKER_QMGR],
                    "master.cf has no service \"%.*s\" of type unix that mail can go by: mail for "
                    "that transport waits; add the line or change the parameter that names it",
                    STR_ARGS(transport->name));
    give_all(attempt, &transport->settings.speaker, &result);
    attempt_end(attempt, SITE_UNTOUCHED, STR(""));
}

void inside_suspend(struct attempt *attempt, const struct destination *destination)
{
    struct arena scratch = { 0 };
    struct result result = {
        .status = DELIVERY_DEFERRED,
        .dsn = str_from(destination->reason_dsn),
        .diagnostic = str_from(arena_printf(&scratch, "delivery temporarily suspended: %s",
                                            buf_text(&destination->reason))),
    };
    struct transport *retry = transport_find(destination->queue, STR("retry"));

    give_all(attempt, &retry->settings.speaker, &result);
    arena_clear(&scratch);
}
