/* SPDX-License-Identifier: Apache-2.0 */
/* A policy server's reply. An action is one line of it, and there is just one. */
#include "base/ensure.h"
#include "policy_service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str reply = str_of((const char *)data, size), action;

    if (!policy_reply_parse(reply, &action))
        return 0;
    ensure(action.len < size && str_find_byte(action, '\n') < 0);
    ensure(str_equal(str_trim(action), action));
    ensure(str_find(reply, STR("action=")) >= 0);
    return 0;
}
