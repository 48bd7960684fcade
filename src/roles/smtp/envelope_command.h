/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that carry the envelope, as text: MAIL, RCPT and XFORWARD with what the server
 * offers. Each appends a whole line with its CRLF. Pure but for the session it reads.
 */
#pragma once

#include "delivery.h"
#include "session.h"

void envelope_command_mail(const struct session *session, struct buf *out);
void envelope_command_rcpt(const struct session *session, size_t index, struct buf *out);
/* Who sent the message to this relay, in two commands: name and address first, then protocol and
 * name in HELO. False (and nothing appended) where the server wants none of it. */
enum xforward_part { XFORWARD_CLIENT, XFORWARD_PROTOCOL };
bool envelope_command_xforward(const struct session *session, enum xforward_part part,
                               struct buf *out);
