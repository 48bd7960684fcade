/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a transport sends to, as the administrator writes it: "example.com", "example.com:587",
 * "[mail.example.com]", "[192.0.2.1]:25", "[IPv6:2001:db8::1]:submission", for LMTP also
 * "inet:" before one of these and "unix:path"; or several of them separated by commas or blanks,
 * tried in order. Pure.
 */
#pragma once

#include "base/error.h"
#include "net/address.h"

struct nexthop {
    struct str host; /* without brackets and port; borrowed */
    uint16_t port;
    bool is_bracketed; /* no MX look-up */
    struct str path;   /* of a Unix socket; empty: none. Nothing else counts then */
    bool is_address;   /* `address` has it, with the port */
    struct net_address address;
};

/* Takes the first destination off `*list`; false at the end of the list. */
bool nexthop_cut(struct str *list, struct str *item);
must_check bool nexthop_parse(struct str item, uint16_t default_port, struct nexthop *nexthop,
                              struct error *error);
/* The same for LMTP, which knows no MX records. */
must_check bool nexthop_parse_lmtp(struct str item, uint16_t default_port, struct nexthop *nexthop,
                                   struct error *error);
/* "25", "smtp", "submission"; zero is no port. */
bool nexthop_port_parse(struct str text, uint16_t *port);
