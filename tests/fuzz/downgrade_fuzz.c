/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever the content: the walk ends, and a second one finds nothing more to do.
 */
#include "base/ensure.h"
#include "mail/downgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree_buf struct buf once = { 0 }, twice = { 0 };

    downgrade_content(str_of((const char *)data, size), &once);
    downgrade_content(buf_str(&once), &twice);
    ensure(str_equal(buf_str(&once), buf_str(&twice)));
    return 0;
}
