/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/verp.h"

#include "base/buf.h"
#include "mail/address.h"

bool verp_delimiters_are_valid(struct str delimiters, struct str filter)
{
    return delimiters.len == 2 && str_find_byte(filter, delimiters.ptr[0]) >= 0 &&
           str_find_byte(filter, delimiters.ptr[1]) >= 0;
}

struct str verp_address(struct arena *arena, struct str delimiters, struct str sender,
                        struct str recipient)
{
    autofree_buf struct buf address = { 0 };

    if (sender.len == 0 || delimiters.len != 2)
        return sender;
    buf_append(&address, address_local(sender));
    buf_append_byte(&address, delimiters.ptr[0]);
    buf_append(&address, address_local(recipient));
    if (address_has_domain(recipient)) {
        buf_append_byte(&address, delimiters.ptr[1]);
        buf_append(&address, address_domain(recipient));
    }
    if (address_has_domain(sender)) {
        buf_append_byte(&address, '@');
        buf_append(&address, address_domain(sender));
    }
    return arena_copy(arena, buf_str(&address));
}
