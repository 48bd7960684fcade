/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an attempt on one mailbox, file or command came to: an enhanced status code and the text
 * that goes into the log and a notification. A value; the text is cut off at its end.
 */
#pragma once

#include "base/str.h"

enum { OUTCOME_DSN_BYTES = 12, OUTCOME_TEXT_BYTES = 1024 };

struct outcome {
    char dsn[OUTCOME_DSN_BYTES]; /* "2.0.0"; its class says whether it is sent, soft or hard */
    char text[OUTCOME_TEXT_BYTES];
};

__attribute__((format(printf, 3, 4))) void outcome_set(struct outcome *outcome, const char *dsn,
                                                       const char *format, ...);
/* The text gets something in front. */
__attribute__((format(printf, 2, 3))) void outcome_prepend(struct outcome *outcome,
                                                           const char *format, ...);
bool outcome_is_sent(const struct outcome *outcome);
bool outcome_is_soft(const struct outcome *outcome);

/* A result line of a program that begins with "D.S.N " (class 4 or 5): the status goes to `dsn`,
 * the rest to `text`. False (nothing changed) where it does not. */
bool outcome_from_text(struct outcome *outcome, struct str text);
/* The exit status of a program (sysexits.h, and others) and what it wrote. */
void outcome_from_exit(struct outcome *outcome, int status, const char *command, struct str output);
