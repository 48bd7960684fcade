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

/* Which networks are meant: the values of mynetworks_style, inet_interfaces and inet_protocols. */
struct network_choice {
    struct str style, interfaces, protocols;
};

/* Appends the default of mynetworks. */
must_check bool machine_networks(const struct machine *machine, const struct network_choice *choice,
                                 struct buf *out, struct error *error);
