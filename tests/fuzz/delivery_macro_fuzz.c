/* SPDX-License-Identifier: Apache-2.0 */
/* Macros of a delivery: the first line is what $a stands for, the second the filter, the rest the
 * text. Nothing that the filter forbids comes out of a value, and no value is expanded. */
#include "macro.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    struct str value = str_cut(&text, "\n"), filter = str_cut(&text, "\n");
    const struct macro_value values[] = { { "a", value },
                                          { "extension", STR("") },
                                          { NULL, value } };
    const struct macros macros = { values, filter };
    autofree_buf struct buf out = { 0 }, filtered = { 0 };
    struct macro_use use;
    struct error error = { 0 };

    if (!macro_expand(&macros, text, &out, &use, &error))
        ensure(error.message[0] != '\0');
    ensure(out.len <= text.len * (value.len + 1));
    macro_filter(value, filter, &filtered);
    ensure(filtered.len == value.len);
    for (size_t i = 0; filter.len > 0 && i < filtered.len; i++)
        ensure(filtered.ptr[i] == '_' || memchr(filter.ptr, filtered.ptr[i], filter.len) != NULL);
    return 0;
}
