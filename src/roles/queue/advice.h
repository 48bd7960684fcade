/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log tells an operator of a destination beside its deliveries, in Postfix's words: that
 * it falls behind (qmgr_clog_warn_time), and how its concurrency changes
 * (destination_concurrency_feedback_debug). Changes nothing but when it warns next.
 */
#pragma once

#include "destination.h"

/* A delivery to it begins, and is counted already. */
void advise_of_clogging(struct destination *destination);
/* The transport was made. */
void advise_of_feedback_rules(const struct transport *transport);
/* A delivery counted for its window; `is_good`: a success. */
void advise_of_feedback(const struct destination *destination, bool is_good);
