/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address verification (wire/verify.def): the verify role asks whether an address can be delivered
 * to, and a message without content takes the way that mail to it would, up to where it would be
 * handed over. A probe lives in memory alone; nothing of it is stored, tried again or told to
 * anybody but the verify role.
 */
#pragma once

#include "message.h"
#include "net/channel.h"

struct probes {
    struct channel *channel; /* to the verify role; NULL while there is none */
    size_t open_count;       /* messages under way */
};

void probes_clear(struct queue *queue);
/* Takes over `fd`; an older channel is closed. */
must_check bool probes_attach(struct queue *queue, int fd, struct error *error);
/* Every attempt has ended: its results go to the verify role, and it is gone. */
void probe_finish(struct message *message);
static inline bool message_is_probe(const struct message *message)
{
    return (message->envelope.flags & ENVELOPE_PROBE) != 0;
}
