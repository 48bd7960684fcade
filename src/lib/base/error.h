/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A failure: of the system, a peer or a file. A function that can fail is
 * `must_check bool f(…, struct error *error)`; on failure it fills `error` and returns false.
 * Callers add context with error_context; whoever handles the failure logs it, once.
 */
#pragma once

#include <stdbool.h>

#define must_check __attribute__((warn_unused_result))

struct error {
    int system_errno;  /* errno where the system failed, else 0 */
    char message[480]; /* one line for the operator; says what to do where it can */
};

/* Each returns false, so that a function can end with `return error_set(...)`. */
__attribute__((format(printf, 2, 3))) bool error_set(struct error *error, const char *format, ...);
/* The same, with ": " and the text of errno appended. */
__attribute__((format(printf, 2, 3))) bool error_errno(struct error *error, const char *format,
                                                       ...);
/* Puts "what: " in front of the message that is there. */
__attribute__((format(printf, 2, 3))) bool error_context(struct error *error, const char *format,
                                                         ...);
