/* SPDX-License-Identifier: Apache-2.0 */
/* The right-hand sides of header_checks and body_checks: an action and its text. Pure. */
#pragma once

#include "base/str.h"

enum check_verb {
    CHECK_BCC,
    CHECK_DISCARD,
    CHECK_DUNNO,
    CHECK_FILTER,
    CHECK_HOLD,
    CHECK_IGNORE,
    CHECK_INFO,
    CHECK_PASS,
    CHECK_PREPEND,
    CHECK_REDIRECT,
    CHECK_REJECT,
    CHECK_REPLACE,
    CHECK_STRIP,
    CHECK_WARN,
    CHECK_UNKNOWN,
};

struct check_action {
    enum check_verb verb;
    struct str text; /* borrowed; of REJECT without the enhanced code */
    char status[12]; /* of REJECT: "5.7.1"; else empty */
};

/* What is wrong with an action; such a one is as good as none. */
enum check_problem {
    CHECK_FINE,
    CHECK_IS_UNKNOWN,
    CHECK_IS_UNSUPPORTED,  /* not where it stands; for the caller to find */
    CHECK_NEEDS_TEXT,
    CHECK_NEEDS_TRANSPORT, /* transport:destination */
    CHECK_NEEDS_ADDRESS,   /* user@domain */
};

enum check_problem check_action_parse(struct str text, struct check_action *action);
/* "REPLACE", and as logs have it: "replace". */
const char *check_verb_name(enum check_verb verb);
const char *check_verb_log_name(enum check_verb verb);
