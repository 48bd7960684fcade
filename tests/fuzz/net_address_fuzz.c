/* SPDX-License-Identifier: Apache-2.0 */
/* A network address from a HELO argument, a PROXY header or a table. What parses must format, and
 * parse to the same again. */
#include "net/address.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_address address, again;
    autofree_buf struct buf text = { 0 };

    if (!net_address_parse(str_of((const char *)data, size), 25, &address))
        return 0;
    ensure(net_address_port(&address) == 25);
    net_address_format(&address, &text);
    ensure(net_address_parse(buf_str(&text), 25, &again));
    ensure(str_equal(net_address_bytes(&address), net_address_bytes(&again)));
    return 0;
}
