/* SPDX-License-Identifier: Apache-2.0 */
/* The right-hand side of an alias, a line of a .forward file. */
#include "alias_entry.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = { 0 };
    struct str rest = str_of((const char *)data, size), entry;
    size_t total = 0;

    for (size_t left = rest.len; alias_entry_next(&arena, &rest, &entry); left = rest.len) {
        ensure(entry.len > 0 && entry.len <= left && rest.len < left);
        total += entry.len;
    }
    ensure(rest.len == 0 && total <= size);
    arena_clear(&arena);
    return 0;
}
