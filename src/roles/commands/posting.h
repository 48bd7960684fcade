/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message on its way from this process into the maildrop: it runs postdrop and sends it the
 * parts (mail/maildrop.h). Nothing is queued unless posting_finish returns EX_OK.
 */
#pragma once

#include "base/buf.h"
#include "config/config.h"
#include "mail/maildrop.h"

#include <sys/types.h>

struct posting {
    pid_t process;
    int fd;              /* its standard input; -1 = none */
    struct buf gathered; /* content that waits for its frame */
};

must_check bool posting_open(struct posting *posting, const struct config *config,
                             struct error *error);
/* False: postdrop has ended; posting_finish knows why. */
must_check bool posting_add(struct posting *posting, struct str content);
/* Sends the envelope and waits. Anything but EX_OK: postdrop has said why on standard error, or
 * `error` says it (else its message is empty). */
int posting_finish(struct posting *posting, const struct maildrop_envelope *envelope,
                   struct error *error);
/* Ends it without a message; safe after finish and on { .fd = -1 }. */
void posting_abort(struct posting *posting);
