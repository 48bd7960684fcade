/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ensure.h"
#include "mail/utf8.h"
#include "mail/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree_buf struct buf plain = { 0 };
    autofree_buf struct buf coded = { 0 };
    autofree_buf struct buf back = { 0 };
    autofree_buf struct buf normal = { 0 };
    autofree_buf struct buf again = { 0 };
    struct str input = str_of((const char *)data, size);

    /* Whatever it was, it is xtext afterwards, and stays so. */
    xtext_normalise(input, &normal);
    for (size_t i = 0; i < normal.len; i++)
        ensure(ascii_is_print(normal.ptr[i]) && normal.ptr[i] != ' ' && normal.ptr[i] != '=');
    if (xtext_decode(buf_str(&normal), &again)) {
        buf_clear(&again);
        xtext_normalise(buf_str(&normal), &again);
        ensure(str_equal(buf_str(&normal), buf_str(&again)));
    }
    if (!unitext_decode(input, &plain))
        return 0;
    ensure(utf8_is_clean(buf_str(&plain)));
    unitext_encode(buf_str(&plain), &coded);
    ensure(unitext_decode(buf_str(&coded), &back));
    ensure(str_equal(buf_str(&plain), buf_str(&back)));
    return 0;
}
