/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is concerned by what went wrong, and in Postfix's words: turns replies and lost connections
 * into failures and puts them on the recipients of the session's delivery. Soft ones leave a
 * recipient open for the next server, hard ones settle it.
 */
#pragma once

#include "delivery.h"
#include "session.h"

bool reply_is_negative(const struct session *session); /* 4xx, 5xx */
/* 2xx that can answer a command: neither a greeting nor a farewell out of the blue. */
bool reply_is_positive(const struct session *session);

/* "host x said: 550 … (in reply to RCPT TO command)"; a reply that is neither positive nor negative
 * is the server's mistake and soft. */
const struct failure *blame_reply(const struct session *session, const char *command);
/* "host x refused to talk to me: 554 …" */
const struct failure *blame_refusal(const struct session *session);
/* "lost connection with x while …"; NULL where the fiber was cancelled. */
const struct failure *blame_connection(const struct session *session, enum session_phase phase,
                                       enum stream_outcome outcome);

void blame_recipient(struct session *session, size_t recipient, const struct failure *failure);
/* Those that this server accepted. */
void blame_accepted(struct session *session, const struct failure *failure);
/* Those that it accepted, where it is not known whether it took the message. */
void blame_doubtful(struct session *session, const struct failure *failure);
/* All that are not settled. */
void blame_everybody(struct session *session, const struct failure *failure);
/* The connection is gone in the middle of a transaction. */
void blame_lost_transaction(struct session *session, enum session_phase phase,
                            enum stream_outcome outcome);
