/* SPDX-License-Identifier: Apache-2.0 */
#include "blame.h"

#include "base/ensure.h"
#include "report.h"

static struct failure *mark_failure(const struct session *session, struct failure *failure)
{
    failure->relay = arena_copy(&session->delivery->job.arena, session->relay);
    return failure;
}

/* The latest reply as a failure: "host x said: 550 … (in reply to RCPT TO command)". */
static struct failure *reply_failure(const struct session *session, const char *format_prefix,
                                     const char *suffix)
{
    struct arena *arena = &session->delivery->job.arena;
    autofree_buf struct buf text = { 0 };
    struct str dsn = reply_status(&session->reply);
    struct failure *failure;

    reply_format(&session->reply, &text);
    failure = failure_new(arena, arena_text(arena, dsn), "host %.*s %s: %s%s",
                          STR_ARGS(session->name), format_prefix, buf_text(&text), suffix);
    failure->remote_mta = arena_copy(arena, session->host);
    failure->smtp_reply = arena_copy(arena, buf_str(&text));
    return mark_failure(session, failure);
}

bool reply_is_negative(const struct session *session)
{
    int class = session->reply.code / 100;

    return class == 4 || class == 5;
}

/* 220 and 221 are no answers to a command of a transaction. */
bool reply_is_positive(const struct session *session)
{
    int code = session->reply.code;

    return code / 100 == 2 && code != 220 && code != 221;
}

static void make_soft(struct failure *failure, struct arena *arena)
{
    if (failure_is_soft(failure))
        return;
    failure->dsn = str_from(arena_printf(arena, "4.%.*s", STR_ARGS(str_skip(failure->dsn, 2))));
}

const struct failure *blame_refusal(const struct session *session)
{
    struct failure *failure = reply_failure(session, "refused to talk to me", "");
    bool is_skipped =
        session->phase == PHASE_GREETING && session->transport->config->smtp_skip_5xx_greeting;

    if (is_skipped || !reply_is_negative(session))
        make_soft(failure, &session->delivery->job.arena);
    return failure;
}

const struct failure *blame_reply(const struct session *session, const char *command)
{
    struct arena *arena = &session->delivery->job.arena;
    const char *suffix = arena_printf(arena, " (in reply to %s)", command);
    struct failure *failure = reply_failure(session, "said", suffix);

    if (!reply_is_negative(session)) {
        failure->dsn = STR("4.5.0");
        failure->text =
            str_from(arena_printf(arena, "Protocol error: %.*s", STR_ARGS(failure->text)));
    }
    return failure;
}

void blame_recipient(struct session *session, size_t recipient, const struct failure *failure)
{
    struct delivery *delivery = session->delivery;

    if (failure_is_soft(failure)) {
        delivery->attempts[recipient].progress = PROGRESS_OPEN;
        delivery->attempts[recipient].failure = failure;
    } else {
        report_failed(delivery, recipient, failure, session);
    }
}

/* Everybody who is not settled: MAIL was refused, or the connection is of no more use. */
void blame_everybody(struct session *session, const struct failure *failure)
{
    struct delivery *delivery = session->delivery;

    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress != PROGRESS_SETTLED)
            blame_recipient(session, i, failure);
    }
}

void blame_accepted(struct session *session, const struct failure *failure)
{
    struct delivery *delivery = session->delivery;

    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress == PROGRESS_ACCEPTED)
            blame_recipient(session, i, failure);
    }
}

const struct failure *blame_connection(const struct session *session, enum session_phase phase,
                                       enum stream_outcome outcome)
{
    struct arena *arena = &session->delivery->job.arena;
    const char *doing = session_phase_text(phase);

    switch (outcome) {
    case STREAM_OK:
    case STREAM_CANCELLED:
        return NULL;
    case STREAM_CLOSED:
    case STREAM_FAILED:
        return mark_failure(session,
                            failure_new(arena, "4.4.2", "lost connection with %.*s while %s",
                                        STR_ARGS(session->name), doing));
    case STREAM_TIMEOUT:
        return mark_failure(session,
                            failure_new(arena, "4.4.2", "conversation with %.*s timed out while %s",
                                        STR_ARGS(session->name), doing));
    case STREAM_TOO_LONG:
        return mark_failure(session,
                            failure_new(arena, "4.5.0",
                                        "remote protocol error in reply from %.*s while %s",
                                        STR_ARGS(session->name), doing));
    }
    unreachable();
}

/* After the final dot nobody knows whether the server took the message: it is not offered to the
 * next server in this attempt, so that a duplicate stays the exception. */
void blame_doubtful(struct session *session, const struct failure *failure)
{
    struct delivery *delivery = session->delivery;

    for (size_t i = 0; i < delivery->job.envelope.recipient_count; i++) {
        if (delivery->attempts[i].progress == PROGRESS_ACCEPTED)
            report_failed(delivery, i, failure, session);
    }
}

void blame_lost_transaction(struct session *session, enum session_phase phase,
                            enum stream_outcome outcome)
{
    const struct failure *failure = blame_connection(session, phase, outcome);
    struct delivery *delivery = session->delivery;

    if (failure == NULL) {
        delivery->is_cancelled = true;
        if (phase != PHASE_FINAL_DOT)
            return;
        failure = blame_connection(session, phase, STREAM_CLOSED);
    }
    delivery->failure = failure;
    delivery->site = SITE_FAILED;
    if (phase == PHASE_FINAL_DOT)
        blame_doubtful(session, failure);
    blame_everybody(session, failure);
}
