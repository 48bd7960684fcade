/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of XCLIENT and XFORWARD: names and values are never empty, values printable. */
#include "base/ensure.h"
#include "mail/attribute.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    struct str text = str_of((const char *)data, size), address;
    struct attribute attribute;

    for (size_t before = text.len + 1;
         text.len < before && attribute_next(&arena, &text, &attribute) == ATTRIBUTE_FOUND;) {
        before = text.len + 1;
        ensure(attribute.name.len > 0);
        for (size_t i = 0; i < attribute.value.len; i++)
            ensure((unsigned char)attribute.value.ptr[i] >= 0x20);
        if (attribute_is_address(attribute.value, &address))
            ensure(address.len <= attribute.value.len);
    }
    return 0;
}
