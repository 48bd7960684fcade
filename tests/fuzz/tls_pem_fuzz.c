/* SPDX-License-Identifier: Apache-2.0 */
/* PEM text of a file or table: what of it may be shown has no private key's content, and nothing
 * changes when it is blanked again. */
#include "net/tls_pem.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree_buf struct buf blank = { 0 }, again = { 0 };
    struct tls_pem_block block;

    tls_pem_blank(str_of((const char *)data, size), &blank);
    for (struct str rest = buf_str(&blank); tls_pem_next(&rest, &block);) {
        ensure(block.kind != TLS_PEM_OTHER);
        if (block.kind == TLS_PEM_KEY)
            ensure(block.text.len ==
                   2 * block.type.len + strlen("-----BEGIN -----\n-----END -----"));
    }
    tls_pem_blank(buf_str(&blank), &again);
    ensure(str_equal(buf_str(&blank), buf_str(&again)));
    return 0;
}
