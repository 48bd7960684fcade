/* SPDX-License-Identifier: Apache-2.0 */
/* What a delivery program writes: the first byte is its exit status. */
#include "command.h"
#include "outcome.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    struct outcome outcome;

    if (size == 0)
        return 0;
    outcome_from_exit(&outcome, data[0], "command", str_skip(text, 1));
    ensure(strlen(outcome.dsn) >= 5 && outcome.dsn[1] == '.');
    ensure(outcome_is_sent(&outcome) == (data[0] == 0));
    ensure(strlen(outcome.text) < sizeof outcome.text);
    if (command_is_plain(text))
        for (size_t i = 0; i < size; i++)
            ensure(memchr("|&;<>()$`\\\"'*?[#~\n", text.ptr[i], 18) == NULL);
    return 0;
}
