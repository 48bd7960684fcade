/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What defaults depend on the machine: its name and its network addresses. Read once, with the
 * configuration, so that all roles have the same and confined ones need not ask.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

struct machine_address {
    bool is_ipv6;
    unsigned char bytes[16]; /* 4 of them for IPv4 */
    int prefix_bits;         /* of the network it is in */
};

struct machine {
    struct str host_name; /* as gethostname(2) has it */
    struct machine_address *addresses;
    size_t address_count;
};

void machine_read(struct arena *arena, struct machine *machine);

/* One line for each fact, for the copy that travels to roles, and back. */
void machine_save(const struct machine *machine, struct buf *out);
must_check bool machine_load(struct arena *arena, struct str text, struct machine *machine);

/* The default of mynetworks: the networks of the addresses in `interfaces` (inet_interfaces,
 * expanded) and `protocols` (inet_protocols), by mynetworks_style: "subnet", "host" or "class".
 * Appended to `out`. */
must_check bool machine_networks(const struct machine *machine, struct str style,
                                 struct str interfaces, struct str protocols, struct buf *out,
                                 struct error *error);
