/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses at which this machine receives mail: what inet_interfaces and proxy_interfaces
 * name. Made once, before a role is confined (it asks the kernel and the resolver library);
 * immutable after that.
 */
#pragma once

#include "base/error.h"
#include "net/address.h"

struct own_addresses;

/* `inet_interfaces` is "all", "loopback-only" or a list of addresses and host names;
 * `proxy_interfaces` a list of the same, often empty. A host name without an address is an
 * error. */
struct own_addresses *own_addresses_new(struct str inet_interfaces, struct str proxy_interfaces,
                                        struct error *error);
void own_addresses_free(struct own_addresses **addresses);
bool own_addresses_contain(const struct own_addresses *addresses,
                           const struct net_address *address);
/* The same for the bare text of an address; false for anything else. */
bool own_addresses_contain_text(const struct own_addresses *addresses, struct str address);
