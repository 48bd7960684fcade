/* SPDX-License-Identifier: Apache-2.0 */
/* Results of header and body checks: what is fine has what its verb needs. */
#include "base/ensure.h"
#include "mail/check_action.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    struct check_action action;
    enum check_problem problem = check_action_parse(text, &action);

    ensure(action.verb <= CHECK_UNKNOWN);
    ensure(strlen(action.status) < sizeof action.status);
    if (problem != CHECK_FINE)
        return 0;
    ensure(action.verb != CHECK_UNKNOWN && check_verb_name(action.verb) != NULL &&
           check_verb_log_name(action.verb) != NULL);
    if (action.verb == CHECK_FILTER)
        ensure(str_find_byte(action.text, ':') > 0);
    if (action.verb == CHECK_REDIRECT || action.verb == CHECK_BCC)
        ensure(str_find_byte(action.text, '@') >= 0);
    return 0;
}
