/* SPDX-License-Identifier: Apache-2.0 */
/* A list of next hops: each part of it parses to something that can be dialled, or is refused. */
#include "base/ensure.h"
#include "nexthop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct nexthop *nexthop, struct str item)
{
    ensure(nexthop->path.len > 0 || nexthop->port != 0);
    ensure(nexthop->path.len <= item.len && nexthop->host.len <= item.len);
    ensure(nexthop->path.len > 0 || nexthop->host.len > 0);
    if (nexthop->is_address)
        ensure(net_address_port(&nexthop->address) == nexthop->port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str list = str_of((const char *)data, size), item;
    struct nexthop nexthop;
    struct error error = { 0 };

    while (nexthop_cut(&list, &item)) {
        ensure(item.len > 0);
        if (nexthop_parse(item, 25, &nexthop, &error))
            check(&nexthop, item);
        else
            ensure(error.message[0] != '\0');
        if (nexthop_parse_lmtp(item, 24, &nexthop, &error))
            check(&nexthop, item);
    }
    return 0;
}
