/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ensure.h"
#include "table/table_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    struct table_source source = { .rest = str_of((const char *)data, size) };
    struct str line, key, value;
    int number, last = 0;

    while (table_source_line(&arena, &source, &line, &number)) {
        ensure(line.len > 0 && number > last);
        last = number;
        enum table_entry_fault fault = table_entry_split(line, &key, &value);
        if (fault == TABLE_ENTRY_FINE || fault == TABLE_ENTRY_LIKE_ALIAS)
            ensure(key.len > 0 && value.len > 0);
        if (table_alias_split(&arena, line, &key, &value) != TABLE_ENTRY_NO_VALUE)
            ensure(key.len > 0 && value.len > 0);
    }
    return 0;
}
