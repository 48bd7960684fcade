/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

void history_begin(struct conversation *conversation)
{
    conversation->session.history.wanted =
        error_classes_parse(conversation->policy->config->notify_classes) &
        ERROR_CLASSES_OF_DIALOGUES;
}

size_t history_threshold(const struct conversation *conversation)
{
    int threshold = conversation->policy->config->smtpd_history_flush_threshold;

    return threshold > 0 ? (size_t)threshold : 0;
}

void history_blame(struct conversation *conversation, enum error_class error)
{
    conversation->session.history.seen |= error;
}

static void send_history(struct conversation *conversation)
{
    const struct config *config = conversation->policy->config;
    const struct session *session = &conversation->session;
    autofree_buf struct buf content = { 0 };
    struct transcript_notice notice = {
        .mail_name = config->mail_name,
        .program = "SMTP server",
        .peer = session_client_text(&conversation->scratch, session),
        .recipient = config->error_notice_recipient,
        .reason = session->abort_reason,
    };

    transcript_format(&session->history, &notice, &content);
    submission_send_notice(conversation->server->submission, config->error_notice_recipient,
                           buf_str(&content));
}

void history_flush(struct conversation *conversation, size_t threshold)
{
    struct transcript *history = &conversation->session.history;

    if (history->line_count <= threshold)
        return;
    if (transcript_is_due(history))
        send_history(conversation);
    transcript_clear(history);
}
