/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DATA: from "354" to the reply to the final dot. Content is decoded, gets our Received: header,
 * and goes to the queue: whole when it is small, in chunks while it arrives when it is large, so
 * that memory for a conversation stays bounded. Only a commit is answered with 250.
 */
#pragma once

#include "conversation.h"

/* The session is in PHASE_RCPT; when this returns its transaction is over, whatever came of it. */
enum next data_receive(struct conversation *conversation);
