/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a message, from DATA or in the chunks of BDAT (RFC 3030). It is decoded, gets our
 * Received: header, and goes to the queue: whole when it is small, in chunks while it arrives when
 * it is large, so that memory for a conversation stays bounded. Only a commit is answered with 250.
 */
#pragma once

#include "conversation.h"

/* DATA, from "354" to the reply to the final dot. The session is in PHASE_RCPT; when this returns
 * its transaction is over, whatever came of it. */
enum next data_receive(struct conversation *conversation);

/* One chunk of BDAT and the reply to it. The session is in PHASE_RCPT or PHASE_BDAT; behind the
 * last chunk, and when anything is refused, its transaction is over. */
enum next chunk_receive(struct conversation *conversation, uint64_t count, bool is_last);
/* Reads a chunk that is not wanted, up to a bound (STREAM_TOO_LONG). */
must_check enum stream_outcome chunk_discard(struct conversation *conversation, uint64_t count);
/* The end where that did not work. */
enum next chunk_lost(struct conversation *conversation, enum stream_outcome outcome);

/* What arrived of a message; only a transaction has one. */
void content_free(struct content **content);
