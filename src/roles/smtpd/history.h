/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of a conversation, which the postmaster gets where something in it was one of
 * notify_classes. The trace (trace.h) fills it.
 */
#pragma once

#include "conversation.h"

void history_begin(struct conversation *conversation);
/* A reply told of something of this class. */
void history_blame(struct conversation *conversation, enum error_class error);
/* smtpd_history_flush_threshold: so many lines are kept over a reset. */
size_t history_threshold(const struct conversation *conversation);
/* Where it has more than `threshold` lines: sends what is to be sent, and begins anew. */
void history_flush(struct conversation *conversation, size_t threshold);
