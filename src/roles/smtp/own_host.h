/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names and addresses are this relay: mail whose MX leads here must not be sent to itself.
 * Made once at start, immutable afterwards.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "net/address.h"

struct own_host {
    struct str name;               /* myhostname */
    struct net_address *addresses; /* of inet_interfaces and proxy_interfaces */
    size_t address_count;
    size_t interface_count;   /* so many of them come from inet_interfaces */
    bool has_every_interface; /* inet_interfaces = all */
};

/* Reads the machine's interfaces, so before confinement. Names in inet_interfaces other than "all"
 * and "loopback-only" are skipped: the listeners' start-up reports them. */
must_check bool own_host_init(struct arena *arena, struct str my_host_name,
                              struct str inet_interfaces, struct str proxy_interfaces,
                              struct own_host *own, struct error *error);
bool own_host_has_address(const struct own_host *own, const struct net_address *address);
bool own_host_has_name(const struct own_host *own, struct str name);
/* The one address of this family in inet_interfaces that is not a loopback: what Postfix sends
 * from then. NULL where there is none, several, or all interfaces are in use. */
const struct net_address *own_host_single_address(const struct own_host *own, int family);
