/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One Perl-compatible regular expression that a user typed, in any case, with limits of steps,
 * depth and memory: one that runs into them matches nothing. Tables of them are table_pcre.c.
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

struct expression;

/* NULL with `error` where the text is none. */
struct expression *expression_new(struct str text, struct error *error);
void expression_free(struct expression **expression);
bool expression_matches(const struct expression *expression, struct str text);
