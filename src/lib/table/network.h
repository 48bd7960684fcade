/* SPDX-License-Identifier: Apache-2.0 */
/* An address or a range of addresses, as match lists and cidr: tables name them. */
#pragma once

#include "base/error.h"
#include "base/str.h"

struct network {
    unsigned char bytes[16];
    uint8_t byte_count;    /* 4 or 16 */
    uint8_t prefix_length; /* in bits */
};

/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "[2001:db8::]/32", "[::1]". The error names the
 * text: host bits set, too long a prefix, no address. */
must_check bool network_parse(struct str text, struct network *network, struct error *error);
/* An address alone, bare or in brackets; an IPv4-mapped IPv6 address becomes IPv4. */
bool network_parse_address(struct str text, struct network *address);
/* The same two as cidr: tables have them: an IPv4-mapped address stays IPv6, and an address alone
 * has no brackets. */
must_check bool network_parse_as_is(struct str text, struct network *network, struct error *error);
bool network_parse_bare_address(struct str text, struct network *address);
bool network_contains(const struct network *network, const struct network *address);
