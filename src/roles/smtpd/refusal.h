/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a rule refuses: the reply, its line in the log, and what becomes of it under warn_if_reject,
 * defer_if_reject and soft_bounce.
 */
#pragma once

#include "rule.h"

/* "code enhanced text"; the enhanced code's class becomes that of the code. Under warn_if_reject it
 * is only logged and passes on. */
enum rule_outcome refuse(struct check *check, unsigned code, const char *enhanced,
                         const char *text);
/* The same about the check's subject: "<name>: class rejected: why". */
enum rule_outcome refuse_subject(struct check *check, unsigned code, const char *enhanced,
                                 const char *why);
/* "<name>: class rejected: why" as a text. */
const char *refusal_text(struct check *check, struct str name, const char *class, const char *why);
/* A table, a server or the configuration fails: no warn_if_reject makes that a permission. */
enum rule_outcome refuse_for_failure(struct check *check, const char *enhanced, const char *text);
/* "451 4.3.5 Server configuration error" */
enum rule_outcome refuse_for_configuration(struct check *check);
/* "451 4.3.0 <name>: Temporary lookup failure" */
enum rule_outcome refuse_for_lookup(struct check *check, struct str name);

/* Refuses later, where the rest of the restrictions permit; at once where `is_immediate`
 * (…_tempfail_action = defer) and under warn_if_reject. */
enum rule_outcome defer_if_permitted(struct check *check, bool is_immediate,
                                     const struct verdict *verdict);
/* Turns a later refusal into this one. */
enum rule_outcome defer_if_rejected(struct check *check, const struct verdict *verdict);

/* A line as of a refusal, for actions that refuse nothing: "warn", "hold". */
void log_action(struct check *check, const char *action, const char *text);
/* smtpd_log_access_permit_actions. Returns RULE_PERMITTED. */
enum rule_outcome permit(struct check *check, const char *action);
/* The same, said of the client, with the blank that Postfix puts behind it. */
enum rule_outcome permit_client(struct check *check, const char *action);

/* Takes an enhanced code off the front of a text, or gives the usual one. */
const char *reply_take_enhanced(struct arena *arena, struct str *text, const char *usual);
/* An enhanced code about an address ("5.1.1") as it is right for this class of subject: that of a
 * recipient means something else for a sender, and nothing for a client. */
const char *reply_fit_enhanced(struct arena *arena, const char *enhanced, const char *reply_class);
