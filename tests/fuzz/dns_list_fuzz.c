/* SPDX-License-Identifier: Apache-2.0 */
/* A DNS list as an operator writes it, behind the address that a name server gave: four bytes. */
#include "base/ensure.h"
#include "rbl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    struct str text = str_of((const char *)data + 4, size - 4);
    struct dns_list list = dns_list_parse(text);

    ensure(list.domain.len + list.pattern.len <= text.len);
    if (!dns_list_pattern_is_valid(list.pattern))
        return 0;
    bool matches = dns_list_pattern_matches(list.pattern, data);
    ensure(matches || list.pattern.len > 0);
    ensure(!matches || list.pattern.len == 0 || dns_list_pattern_is_valid(list.pattern));
    return 0;
}
