/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ensure.h"
#include "mail/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree_buf struct buf plain = { 0 };
    autofree_buf struct buf coded = { 0 };
    autofree_buf struct buf back = { 0 };

    if (!xtext_decode(str_of((const char *)data, size), &plain))
        return 0;
    for (size_t i = 0; i < plain.len; i++)
        ensure((unsigned char)plain.ptr[i] >= 0x20 && plain.ptr[i] != 0x7f);
    xtext_encode(buf_str(&plain), &coded);
    ensure(xtext_decode(buf_str(&coded), &back));
    ensure(str_equal(buf_str(&plain), buf_str(&back)));
    return 0;
}
