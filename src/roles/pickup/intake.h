/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One maildrop file on its way into the queue, in a fiber of its own: checked, completed as local
 * mail (addresses, headers, Received:), submitted, and removed once the queue has it for good.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "mail/cleanup.h"
#include "service/submission.h"

struct intake {
    struct loop *loop;
    struct submission *submission;
    const struct config *config;
    const struct cleanup *cleanup;
    struct log_context pickup_log; /* "postfix/pickup" */
    int folder_fd;                 /* the maildrop */
    int corrupt_fd;                /* where damaged files go; -1 = none */
    const char *name;
};

enum intake_outcome {
    INTAKE_TAKEN,       /* the file is gone */
    INTAKE_TRY_AGAIN,   /* later: the queue or the system is not ready for it */
    INTAKE_LEAVE_ALONE, /* it stays where it is and must not be read again: already queued, or
                           damaged and impossible to move; said in the log */
};

/* In a fiber. */
enum intake_outcome intake_run(const struct intake *intake);
