/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/hosts: see hosts(5). Pure. */
#pragma once

#include "net/address.h"

struct hosts_entry {
    struct net_address address;
    struct str names; /* the official one first, between blanks; for str_next_word */
};

/* Takes lines off `*text` until one has an address and a name; false at its end. Comments, empty
 * lines and lines that make no sense are passed over. */
bool hosts_next(struct str *text, struct hosts_entry *entry);
