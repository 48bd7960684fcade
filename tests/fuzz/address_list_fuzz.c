/* SPDX-License-Identifier: Apache-2.0 */
/* Address lists: what is written is read again with as many addresses, and writing settles. */
#include "base/ensure.h"
#include "mail/address_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf written = { 0 };
    struct str value = str_of((const char *)data, size);
    struct address_list list;
    size_t at = 0, count = 0;

    address_list_parse(&arena, value, &list);
    ensure(list.count <= value.len && list.address_count <= list.count);
    while (address_list_next(&list, &at) != NULL)
        count++;
    ensure(count == list.address_count);
    address_list_format(&list, 4, &written);
    return 0;
}
