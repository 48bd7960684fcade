/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/check_action.h"

#include "mail/status_code.h"

#include <string.h>

/* clang-format off */
static const struct {
    const char *name, *log_name;
} verbs[] = {
    [CHECK_BCC]      = { "BCC",      "bcc" },
    [CHECK_DISCARD]  = { "DISCARD",  "discard" },
    [CHECK_DUNNO]    = { "DUNNO",    "dunno" },
    [CHECK_FILTER]   = { "FILTER",   "filter" },
    [CHECK_HOLD]     = { "HOLD",     "hold" },
    [CHECK_IGNORE]   = { "IGNORE",   "ignore" },
    [CHECK_INFO]     = { "INFO",     "info" },
    [CHECK_PASS]     = { "PASS",     "pass" },
    [CHECK_PREPEND]  = { "PREPEND",  "prepend" },
    [CHECK_REDIRECT] = { "REDIRECT", "redirect" },
    [CHECK_REJECT]   = { "REJECT",   "reject" },
    [CHECK_REPLACE]  = { "REPLACE",  "replace" },
    [CHECK_STRIP]    = { "STRIP",    "strip" },
    [CHECK_WARN]     = { "WARN",     "warning" },
};
/* clang-format on */

const char *check_verb_name(enum check_verb verb)
{
    return verbs[verb].name;
}

const char *check_verb_log_name(enum check_verb verb)
{
    return verbs[verb].log_name;
}

static enum check_verb find_verb(struct str word)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (str_equal_fold(word, str_from(verbs[i].name)))
            return (enum check_verb)i;
    return str_equal_fold(word, STR("OK")) ? CHECK_DUNNO : CHECK_UNKNOWN;
}

static void split_status(struct check_action *action)
{
    size_t len = str_starts_with(action->text, STR("2")) ? 0 : status_code_length(action->text);
    struct str status = len > 0 ? str_take(action->text, len) : STR("5.7.1");

    memcpy(action->status, status.ptr, status.len);
    action->status[status.len] = '\0';
    action->text = str_trim(str_skip(action->text, len));
    if (action->text.len == 0)
        action->text = STR("message content rejected");
}

enum check_problem check_action_parse(struct str text, struct check_action *action)
{
    struct str rest = str_trim(text), word;

    *action = (struct check_action){ .verb = CHECK_UNKNOWN };
    if (!str_next_word(&rest, " \t\r\n", &word))
        return CHECK_IS_UNKNOWN;
    action->verb = find_verb(word);
    action->text = str_trim(rest);
    switch (action->verb) {
    case CHECK_UNKNOWN:
        return CHECK_IS_UNKNOWN;
    case CHECK_PREPEND:
    case CHECK_REPLACE:
        return action->text.len > 0 ? CHECK_FINE : CHECK_NEEDS_TEXT;
    case CHECK_FILTER:
        return str_find_byte(action->text, ':') > 0 ? CHECK_FINE : CHECK_NEEDS_TRANSPORT;
    case CHECK_BCC:
    case CHECK_REDIRECT:
        return str_find_byte(action->text, '@') >= 0 ? CHECK_FINE : CHECK_NEEDS_ADDRESS;
    case CHECK_REJECT:
        split_status(action);
        return CHECK_FINE;
    case CHECK_DISCARD:
    case CHECK_DUNNO:
    case CHECK_HOLD:
    case CHECK_IGNORE:
    case CHECK_INFO:
    case CHECK_PASS:
    case CHECK_STRIP:
    case CHECK_WARN:
        return CHECK_FINE;
    }
    return CHECK_IS_UNKNOWN;
}
