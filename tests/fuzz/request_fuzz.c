/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ensure.h"
#include "mail/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request request;

    if (!request_parse(str_of((const char *)data, size), &request))
        return 0;
    ensure(request.verb.len > 0 && request.verb.len + request.argument.len <= size);
    ensure(str_find_byte(request.verb, ' ') < 0 && str_find_byte(request.verb, '\t') < 0);
    if (!request.has_control && request_helo_is_valid(request.argument))
        ensure(str_find_byte(request.argument, ' ') < 0);
    return 0;
}
