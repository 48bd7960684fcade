/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was said in a dialogue, for the postmaster where something went wrong in it
 * (notify_classes). Bounded: what is beyond that is left out. Secrets are never put in. One for
 * each session.
 */
#pragma once

#include "base/buf.h"
#include "mail/error_class.h"

struct transcript {
    unsigned wanted; /* enum error_class bits that are told of; 0: nothing is kept */
    unsigned seen;   /* those that came up */
    struct buf lines;
    size_t line_count;
};

void transcript_clear(struct transcript *transcript);
/* A line that came in or went out, as seen from here; without its end. */
void transcript_add_in(struct transcript *transcript, struct str line);
void transcript_add_out(struct transcript *transcript, struct str line);
/* Whether the postmaster is to hear of it. */
bool transcript_is_due(const struct transcript *transcript);

struct transcript_notice {
    struct str mail_name;
    const char *program; /* "SMTP server", "SMTP client" */
    bool is_client;      /* it was our client: some server answered unexpectedly */
    struct str peer;     /* "name[address]", of a server with its port */
    struct str recipient;
    struct str reason; /* why the session was aborted; empty: it was not */
};
/* Appends the mail about it, from its From: header on. */
void transcript_format(const struct transcript *transcript, const struct transcript_notice *notice,
                       struct buf *out);
