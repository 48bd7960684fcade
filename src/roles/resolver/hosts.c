/* SPDX-License-Identifier: Apache-2.0 */
#include "hosts.h"

bool hosts_next(struct str *text, struct hosts_entry *entry)
{
    while (text->len > 0) {
        struct str line = str_cut(text, "\n");
        struct str address;

        line = str_cut(&line, "#");
        if (!str_next_word(&line, " \t\r", &address) ||
            !net_address_parse(address, 0, &entry->address))
            continue;
        entry->names = str_trim(line);
        if (entry->names.len > 0)
            return true;
    }
    return false;
}
