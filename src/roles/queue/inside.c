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
    const char *status = result->status == DELIVERY_SENT      ? "sent"
                         : result->status == DELIVERY_BOUNCED ? "bounced"
                                                              : "deferred";
    struct log_delivery delivery = {
        .queue_id = message_id_text(message),
        .recipient = recipient->address,
        .original_recipient = recipient->original_recipient,
        .relay = STR("none"),
        .times = { .arrival_us = message->envelope.arrival_us,
                   .queue_manager_us = message->taken_up_us,
                   .agent_us = now_us,
                   .done_us = now_us },
        .dsn = result->dsn,
        .status = str_from(status),
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

/* "5.1.1 text" has its status in front; a text without one gets the default. */
static struct result text_result(enum delivery_status status, struct str text)
{
    struct result result = {
        .status = status,
        .dsn = status == DELIVERY_BOUNCED ? STR("5.0.0") : STR("4.0.0"),
        .diagnostic = str_trim(text),
    };
    struct str rest = result.diagnostic;
    struct str word = str_cut(&rest, " \t");

    if (word.len >= 5 && ascii_is_digit(word.ptr[0]) && word.ptr[1] == '.') {
        result.dsn = word;
        result.diagnostic = str_trim(rest);
    }
    return result;
}

static struct result result_of(const struct destination *destination)
{
    const struct transport *transport = destination->transport;

    switch (transport->settings.kind) {
    case TRANSPORT_ERROR:
        return text_result(DELIVERY_BOUNCED, destination->nexthop);
    case TRANSPORT_RETRY:
        return text_result(DELIVERY_DEFERRED, destination->nexthop);
    case TRANSPORT_DISCARD:
        return (struct result){ .status = DELIVERY_SENT,
                                .dsn = STR("2.0.0"),
                                .diagnostic = destination->nexthop };
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
                    "master.cf has no service \"%.*s\" of type unix: mail for that transport "
                    "waits; add the line or change the parameter that names it",
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
