/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What access tables and header or body checks want done with a whole message, gathered while it
 * comes in: HOLD, DISCARD, FILTER, REDIRECT, BCC and PREPEND. One for each transaction; its strings
 * live in the transaction's arena. Pure.
 */
#pragma once

#include "mail/envelope.h"

enum { MESSAGE_BCC_MAX = 100 };

struct message_actions {
    bool is_held;
    bool is_discarded;   /* answered like accepted mail, and gone; the caller's business */
    struct str filter;   /* "transport:nexthop"; the last one counts */
    struct str redirect; /* the one recipient instead of all others; the last one counts */
    struct str *bcc;     /* more recipients, about whom nobody is told */
    size_t bcc_count;
    /* Whole header lines with CRLF, to stand in front of the message, before our Received:. */
    struct str prepended;
};

/* Copies the text into the arena. */
void message_actions_add_bcc(struct message_actions *actions, struct arena *arena,
                             struct str address);
/* "Name: value" becomes another line of `prepended`. */
void message_actions_prepend(struct message_actions *actions, struct arena *arena,
                             struct str header);
/* Holds, filters, redirects and copies: changes the envelope just before it is submitted. Addresses
 * are taken as they are; rewrite them before they are added. */
void message_actions_apply(const struct message_actions *actions, struct arena *arena,
                           struct envelope *envelope);
